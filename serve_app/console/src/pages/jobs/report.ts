type Line = Record<string, unknown>;

/** Outcomes of ingestions and re-embeddings that have words. A report of another version may name others. */
export const RESULTS = [
  'ingested',
  'already_present',
  'duplicate',
  'no_face',
  'several_faces',
  'low_quality',
  'unreadable',
  'too_large',
  'missing',
  'invalid_metadata',
  'failed',
  'embedded',
  'another_face',
];

export interface Entry {
  input: string;
  outcome: string;
  reason: string;
}

/** A line of a report: an ingestion names the input, a re-embedding the row's picture. */
export function entry(line: Line): Entry {
  const text = (...keys: string[]) => keys.map((key) => line[key]).find((value) => typeof value === 'string') ?? '';
  return { input: text('input', 'image_path', 'id'), outcome: text('outcome'), reason: text('reason') };
}
