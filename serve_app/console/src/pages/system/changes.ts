type Values = Record<string, unknown> | null;

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** What a change made of what, a line for each value that differs. time: writes a time as the page does. */
export function changes(before: Values, after: Values, time: (at: string) => string): string[] {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return names.flatMap((name) => {
    const [was, is] = [before?.[name], after?.[name]].map((value) => text(value, time));
    if (was === is) return [];
    return [`${name}: ${[was, is].filter((value) => value !== undefined).join(' → ')}`];
  });
}

function text(value: unknown, time: (at: string) => string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') return JSON.stringify(value);
  return TIME.test(value) ? time(value) : value;
}
