/** How many scores are in each of the equal bins of 0..1. */
export type Counts = readonly number[];

export function total(counts: Counts): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** How many scores are below a threshold; those of the bin that it cuts are taken to be even. */
export function below(counts: Counts, threshold: number): number {
  const cut = threshold * counts.length;
  return Math.round(counts.reduce((sum, count, bin) => sum + count * Math.min(1, Math.max(0, cut - bin)), 0));
}
