import { describe, expect, it } from 'vitest';

import { inBytes, inTime } from './units';

describe('units', () => {
  it.each([
    [0, [0, 'byte']],
    [999, [999, 'byte']],
    [1500, [1.5, 'kilobyte']],
    [2e9, [2, 'gigabyte']],
    [3e15, [3000, 'terabyte']],
  ])('of %f bytes', (bytes, expected) => {
    expect(inBytes(bytes)).toEqual(expected);
  });

  it.each([
    [0.25, [250, 'millisecond']],
    [1, [1, 'second']],
  ])('of %f seconds', (seconds, expected) => {
    expect(inTime(seconds)).toEqual(expected);
  });
});
