type Line = Record<string, unknown>;

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
