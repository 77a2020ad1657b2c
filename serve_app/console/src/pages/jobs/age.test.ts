import { describe, expect, it } from 'vitest';

import { inUnit } from './age';

describe('an age', () => {
  it.each([
    [-3, [0, 'second']],
    [59.9, [59, 'second']],
    [60, [1, 'minute']],
    [7199, [1, 'hour']],
    [86_400 * 3.5, [3, 'day']],
  ])('of %f seconds', (seconds, expected) => {
    expect(inUnit(seconds)).toEqual(expected);
  });
});
