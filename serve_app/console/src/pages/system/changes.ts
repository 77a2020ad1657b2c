type Values = Record<string, unknown> | null;

/** What a change made of what, a line for each value that differs. */
export function changes(before: Values, after: Values): string[] {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return names.flatMap((name) => {
    const [was, is] = [before?.[name], after?.[name]].map(text);
    if (was === is) return [];
    return [`${name}: ${[was, is].filter((value) => value !== undefined).join(' → ')}`];
  });
}

function text(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
