type ByteUnit = 'byte' | 'kilobyte' | 'megabyte' | 'gigabyte' | 'terabyte';

const UNITS: readonly [ByteUnit, number][] = [
  ['terabyte', 1e12],
  ['gigabyte', 1e9],
  ['megabyte', 1e6],
  ['kilobyte', 1e3],
];

/** A number of bytes in the largest unit that it fills. */
export function inBytes(bytes: number): [number, ByteUnit] {
  const [unit, size] = UNITS.find(([, filled]) => bytes >= filled) ?? ['byte', 1];
  return [bytes / size, unit];
}

/** A duration of less than a second in milliseconds. */
export function inTime(seconds: number): [number, 'second' | 'millisecond'] {
  return seconds < 1 ? [seconds * 1000, 'millisecond'] : [seconds, 'second'];
}
