/** Where the range from one place to another begins and ends, in either order; without a start, only the second. */
export function span(from: number | undefined, to: number): [start: number, end: number] {
  return [Math.min(from ?? to, to), Math.max(from ?? to, to) + 1];
}

/** The chosen items once one was clicked, which decides whether `those` are chosen or left. */
export function toggled<T extends { id: string }>(
  chosen: ReadonlyMap<string, T>,
  clicked: string,
  those: readonly T[],
): Map<string, T> {
  const left = new Map(chosen);
  const add = !left.has(clicked);
  for (const item of those) {
    if (add) left.set(item.id, item);
    else left.delete(item.id);
  }
  return left;
}

/** The chosen items but those with these ids. */
export function without<T>(chosen: ReadonlyMap<string, T>, ids: readonly string[]): Map<string, T> {
  return new Map([...chosen].filter(([id]) => !ids.includes(id)));
}
