export type Unit = 'second' | 'minute' | 'hour' | 'day';

const SECONDS: readonly [Unit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

/** Seconds as a whole number of the largest unit that they fill, at least zero. */
export function inUnit(seconds: number): [number, Unit] {
  const past = Math.max(0, seconds);
  const [unit, size] = SECONDS.find(([, filled]) => past >= filled) ?? ['second', 1];
  return [Math.floor(past / size), unit];
}
