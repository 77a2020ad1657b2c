/** The ids from one item to another, both included, in either order; only the second if the first is gone. */
export function between(items: readonly { id: string }[], from: string | undefined, to: string): string[] {
  const start = items.findIndex(({ id }) => id === from);
  const end = items.findIndex(({ id }) => id === to);
  if (start < 0) return [to];
  return items.slice(Math.min(start, end), Math.max(start, end) + 1).map(({ id }) => id);
}

/** The chosen ids once an item was clicked, which decides whether `those` are chosen or left. */
export function toggled(chosen: readonly string[], clicked: string, those: readonly string[]): Set<string> {
  const left = new Set(chosen);
  const add = !left.has(clicked);
  for (const id of those) {
    if (add) left.add(id);
    else left.delete(id);
  }
  return left;
}
