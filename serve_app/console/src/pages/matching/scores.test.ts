import { describe, expect, it } from 'vitest';

import { below, total } from './scores';

const COUNTS = [10, 20, 0, 40, 30];

describe('scores', () => {
  it.each([
    [0, 0],
    [0.2, 10],
    [0.3, 20],
    [0.6, 30],
    [1, 100],
  ])('below %f are %i', (threshold, expected) => {
    expect(below(COUNTS, threshold)).toBe(expected);
  });

  it('are none where there are none', () => {
    expect([total([]), below([], 0.5)]).toEqual([0, 0]);
  });
});
