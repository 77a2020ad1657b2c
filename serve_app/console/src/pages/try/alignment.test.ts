import { describe, expect, it } from 'vitest';

import { alignment, fivePoints, type Point } from './alignment';

const FACE: Point[] = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

function apply([x, y]: Point, matrix: ReturnType<typeof alignment>): Point {
  const [a, b, c, d, e, f] = matrix ?? [0, 0, 0, 0, 0, 0];
  return [a * x + c * y + e, b * x + d * y + f];
}

describe('alignment', () => {
  it('leaves a face that lies in its places', () => {
    const matrix = alignment(FACE) ?? [];
    [1, 0, 0, 1, 0, 0].forEach((value, place) => {
      expect(matrix[place]).toBeCloseTo(value, 9);
    });
  });

  it.each([
    [0, 1, 0, 0],
    [30, 2.5, 400, -20],
    [180, 0.4, -7, 900],
  ])('undoes a turn of %i degrees, a scale of %f and a shift', (degrees, scale, dx, dy) => {
    const turn = (degrees * Math.PI) / 180;
    const moved = FACE.map(
      ([x, y]): Point => [
        scale * (Math.cos(turn) * x - Math.sin(turn) * y) + dx,
        scale * (Math.sin(turn) * x + Math.cos(turn) * y) + dy,
      ],
    );
    const matrix = alignment(moved);
    moved.forEach((point, place) => {
      const [x, y] = apply(point, matrix);
      expect(x).toBeCloseTo(FACE[place]?.[0] ?? NaN, 6);
      expect(y).toBeCloseTo(FACE[place]?.[1] ?? NaN, 6);
    });
  });

  it('does not mirror', () => {
    const mirrored = FACE.map(([x, y]): Point => [112 - x, y]);
    const [a, b, c, d] = alignment(mirrored) ?? [0, 0, 0, 0];
    expect(a * d - b * c).toBeGreaterThan(0);
  });

  it('has none for a single point', () => {
    expect(alignment(FACE.map((): Point => [3, 4]))).toBeUndefined();
  });
});

describe('five points', () => {
  it('are the means of the eyes, the tip of the nose and the corners of the mouth', () => {
    const landmarks = Array.from({ length: 68 }, (_, place): [number, number] => [place, 2 * place]);
    expect(fivePoints(landmarks)).toEqual([
      [38.5, 77],
      [44.5, 89],
      [30, 60],
      [48, 96],
      [54, 108],
    ]);
  });
});
