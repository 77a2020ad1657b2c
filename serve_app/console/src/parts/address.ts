/** A text that an address holds; undefined where it makes none. The router reads one of digits as a number. */
export function textOf(value: unknown): string | undefined {
  const said = typeof value === 'number' ? String(value) : value;
  return typeof said === 'string' && said.trim() !== '' && said.length <= 200 ? said : undefined;
}

/** The value of an address if it is one of these. */
export function oneOf<T extends string>(known: readonly T[], value: unknown): T | undefined {
  return known.find((each) => each === value);
}

/** Texts that are being typed are one step back, not one for each letter. */
export function isTyping(before: string | undefined, after: string | undefined): boolean {
  return before !== undefined && after !== undefined && before !== after;
}
