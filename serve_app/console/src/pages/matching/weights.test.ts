import { describe, expect, it } from 'vitest';

import { canMove, distribute, FACTORS, moved, type Shares, toShares, toWeights, WHOLE } from './weights';

const DEFAULT = { embedding: 0.2, geometry: 0.2, age: 0.15, symmetry: 0.15, skin_tone: 0.15, expression: 0.15 };
const NONE = new Set<never>();

function sum(shares: Shares): number {
  return FACTORS.reduce((total, factor) => total + shares[factor], 0);
}

describe('weights', () => {
  it('become sliders and stay the same', () => {
    expect(toWeights(toShares(DEFAULT))).toEqual(DEFAULT);
  });

  it('sum to one although each was rounded', () => {
    const sixth = 1 / 6;
    const shares = toShares({
      embedding: sixth,
      geometry: sixth,
      age: sixth,
      symmetry: sixth,
      skin_tone: sixth,
      expression: sixth,
    });
    expect(sum(shares)).toBe(WHOLE);
  });

  it('always sum to one, wherever a slider is moved', () => {
    let shares = toShares(DEFAULT);
    for (let step = 0; step < 600; step += 1) {
      const factor = FACTORS[(step * 7) % 6] ?? 'age';
      shares = moved(shares, factor, (step * 379) % 1100, NONE);
      expect(sum(shares)).toBe(WHOLE);
      expect(Math.min(...Object.values(shares))).toBeGreaterThanOrEqual(0);
    }
  });

  it('keep the proportions of the others', () => {
    const shares = moved(toShares(DEFAULT), 'embedding', 600, NONE);
    expect(shares).toEqual({ embedding: 600, geometry: 100, age: 75, symmetry: 75, skin_tone: 75, expression: 75 });
  });

  it('leave locked ones alone, and move only as far as there is room', () => {
    const locked = new Set(['geometry', 'age'] as const);
    const shares = moved(toShares(DEFAULT), 'embedding', 1000, locked);
    expect(shares).toEqual({ embedding: 650, geometry: 200, age: 150, symmetry: 0, skin_tone: 0, expression: 0 });
  });

  it('share equally what one gives back when the others have nothing', () => {
    const all = moved(toShares(DEFAULT), 'age', 1000, NONE);
    expect(moved(all, 'age', 500, NONE)).toEqual({
      embedding: 100,
      geometry: 100,
      age: 500,
      symmetry: 100,
      skin_tone: 100,
      expression: 100,
    });
  });

  it('cannot move when nothing can give way', () => {
    const locked = new Set(FACTORS.filter((factor) => factor !== 'age'));
    const shares = toShares(DEFAULT);
    expect(canMove('age', locked)).toBe(false);
    expect(moved(shares, 'age', 900, locked)).toBe(shares);
    expect(moved(shares, 'embedding', 900, locked)).toBe(shares);
  });
});

describe('distribute', () => {
  it.each([
    [10, [1, 1, 1], [4, 3, 3]],
    [0, [5, 2], [0, 0]],
    [7, [0, 0], [4, 3]],
    [1000, [0.1, 0.2, 0.7], [100, 200, 700]],
  ])('%i among %j', (amount, parts, expected) => {
    expect(distribute(amount, parts)).toEqual(expected);
  });
});
