import type { Factor, Weights } from '../../api/matching';

export const FACTORS: readonly Factor[] = ['embedding', 'geometry', 'age', 'symmetry', 'skin_tone', 'expression'];

/** A weight of one, in the thousandths of which sliders are made: whole numbers always sum to it exactly. */
export const WHOLE = 1000;

/** The weight of each factor in thousandths, together WHOLE. */
export type Shares = Record<Factor, number>;

export function toShares(weights: Weights): Shares {
  return named(distribute(WHOLE, FACTORS.map((factor) => weights[factor])));
}

export function toWeights(shares: Shares): Weights {
  return named(FACTORS.map((factor) => shares[factor] / WHOLE));
}

/** The factors that may change while `factor` is moved. */
function others(factor: Factor, locked: ReadonlySet<Factor>): Factor[] {
  return FACTORS.filter((other) => other !== factor && !locked.has(other));
}

/** Whether there is a factor that can give way to this one. */
export function canMove(factor: Factor, locked: ReadonlySet<Factor>): boolean {
  return !locked.has(factor) && others(factor, locked).length > 0;
}

/** Gives a factor a weight, as far as the locked ones leave it room; the others keep their proportions. */
export function moved(shares: Shares, factor: Factor, weight: number, locked: ReadonlySet<Factor>): Shares {
  if (!canMove(factor, locked)) return shares;
  const free = others(factor, locked);
  const room = shares[factor] + free.reduce((sum, other) => sum + shares[other], 0);
  const next = Math.min(room, Math.max(0, Math.round(weight)));
  const parts = distribute(room - next, free.map((other) => shares[other]));
  return { ...shares, [factor]: next, ...Object.fromEntries(free.map((other, place) => [other, parts[place] ?? 0])) };
}

/** Whole numbers in the proportions of `parts`, equal where these are all zero, that sum to `amount`. */
export function distribute(amount: number, parts: number[]): number[] {
  const sum = parts.reduce((total, part) => total + part, 0);
  const exact = parts.map((part) => (sum > 0 ? (amount * part) / sum : amount / parts.length));
  const whole = exact.map((part) => Math.floor(part + 1e-9));
  const left = amount - whole.reduce((total, part) => total + part, 0);
  // What is left goes to those from whom rounding took most.
  const byLoss = exact.map((part, place) => [part - (whole[place] ?? 0), place] as const).sort(([a], [b]) => b - a);
  for (const [, place] of byLoss.slice(0, left)) whole[place] = (whole[place] ?? 0) + 1;
  return whole;
}

function named(values: number[]): Shares {
  return Object.fromEntries(FACTORS.map((factor, place) => [factor, values[place] ?? 0])) as Shares;
}
