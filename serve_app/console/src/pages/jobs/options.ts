import type { RayJobKind, RayJobRequest } from '../../api/jobs';

export const KINDS: readonly RayJobKind[] = ['ingest', 'rematch', 'reembed', 'import_qdrant'];

type Value = string | number | boolean;
export type Values = Record<string, Value>;

/** A field of the form. needed: without it the job cannot start. */
export interface Field {
  name: string;
  type: 'text' | 'number' | 'switch' | 'time';
  value: Value;
  needed?: boolean;
  min?: number;
  max?: number;
  step?: number;
}

const text = (name: string, value = '', needed = false): Field => ({ name, type: 'text', value, needed });
const flag = (name: string, value: boolean): Field => ({ name, type: 'switch', value });
const number = (name: string, value: number | '', min: number, max?: number, step?: number): Field => ({
  name,
  type: 'number',
  value,
  min,
  ...(max !== undefined && { max }),
  ...(step !== undefined && { step }),
});

/** The options of each kind of job, with their defaults; the service checks them. */
export const FIELDS: Record<RayJobKind, Field[]> = {
  ingest: [
    text('source', '', true),
    text('category'),
    text('exclude'),
    number('min_quality', 0.6, 0, 1, 0.05),
    number('limit', '', 1),
    number('actors', '', 1, 1000),
    flag('largest', false),
    flag('dry_run', true),
  ],
  rematch: [
    { name: 'since', type: 'time', value: '' },
    text('school'),
    flag('users', true),
    flag('celebrities', true),
    flag('dry_run', true),
  ],
  reembed: [text('pack', '', true), number('sample', 500, 0, 100_000), number('actors', '', 1, 1000)],
  import_qdrant: [text('url', '', true), text('collection', 'faces', true), text('pack'), flag('create', false)],
};

export function defaults(kind: RayJobKind): Values {
  return Object.fromEntries(FIELDS[kind].map(({ name, value }) => [name, value]));
}

/** Whether all that is needed was given. */
export function complete(kind: RayJobKind, values: Values): boolean {
  return FIELDS[kind].every(({ name, needed }) => !needed || String(values[name] ?? '').trim() !== '');
}

/** What the service is asked for. Empty fields are left out; times are the browser's. */
export function request(kind: RayJobKind, values: Values): RayJobRequest {
  const given = Object.entries(values)
    .map(([name, value]) => [name, typeof value === 'string' ? value.trim() : value] as const)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => [name, READ[name]?.(String(value)) ?? value] as const);
  return { kind, ...Object.fromEntries(given) } as RayJobRequest;
}

/** Fields that are not taken as they are: globs between commas, and a time without a zone. */
const READ: Record<string, (value: string) => string | string[]> = {
  exclude: (value) =>
    value
      .split(',')
      .map((glob) => glob.trim())
      .filter((glob) => glob !== ''),
  since: (value) => new Date(value).toISOString(),
};
