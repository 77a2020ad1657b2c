import type { Generation } from '../../api/texts';

export interface Calls {
  kind: Generation['kind'];
  model: string;
  completed: number;
  failed: number;
  tokensIn: number;
  tokensOut: number;
}

/** The calls of all days together, for each kind and model, the most calls first. */
export function byKind(days: Generation[]): Calls[] {
  const sums = new Map<string, Calls>();
  for (const { kind, model, completed, failed, tokens_in: tokensIn, tokens_out: tokensOut } of days) {
    const key = `${kind} ${model}`;
    const sum = sums.get(key) ?? { kind, model, completed: 0, failed: 0, tokensIn: 0, tokensOut: 0 };
    sums.set(key, {
      ...sum,
      completed: sum.completed + completed,
      failed: sum.failed + failed,
      tokensIn: sum.tokensIn + tokensIn,
      tokensOut: sum.tokensOut + tokensOut,
    });
  }
  return [...sums.values()].sort((a, b) => b.completed + b.failed - a.completed - a.failed);
}
