import type { Face } from '../../api/faces';

export type Point = readonly [number, number];

/** a, b, c, d, e, f of an SVG matrix: x' = a x + c y + e, y' = b x + d y + f. */
export type Matrix = readonly [number, number, number, number, number, number];

/** Where ArcFace (deepinsight/insightface) puts both eyes, the nose and both corners of the mouth in 112 pixels. */
const PLACES: readonly Point[] = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

/** What is shown around those places: the whole head. */
export const VIEW = { x: -32, y: -46, side: 176 } as const;

/** The five points of the 68 landmarks: means of the eyes, tip of the nose, corners of the mouth. */
export function fivePoints(landmarks: Face['landmarks_68']): Point[] {
  const mean = (first: number, last: number): Point => {
    const part = landmarks.slice(first, last + 1);
    const sum = (axis: 0 | 1) => part.reduce((total, point) => total + point[axis], 0) / part.length;
    return [sum(0), sum(1)];
  };
  return [mean(36, 41), mean(42, 47), mean(30, 30), mean(48, 48), mean(54, 54)];
}

/**
 * The rotation, scale and shift that bring five points closest to their places, in least squares; undefined where all
 * are the same point. As complex numbers a rotation with a scale is one factor.
 */
export function alignment(points: readonly Point[]): Matrix | undefined {
  const centre = (of: readonly Point[], axis: 0 | 1) => of.reduce((sum, point) => sum + point[axis], 0) / of.length;
  const [px, py, qx, qy] = [centre(points, 0), centre(points, 1), centre(PLACES, 0), centre(PLACES, 1)];
  let [real, imaginary, spread] = [0, 0, 0];
  points.forEach(([x, y], place) => {
    const [u, v] = PLACES[place] ?? [qx, qy];
    real += (x - px) * (u - qx) + (y - py) * (v - qy);
    imaginary += (x - px) * (v - qy) - (y - py) * (u - qx);
    spread += (x - px) ** 2 + (y - py) ** 2;
  });
  if (!(spread > 1e-9)) return undefined;
  const [cos, sin] = [real / spread, imaginary / spread];
  return [cos, sin, -sin, cos, qx - cos * px + sin * py, qy - sin * px - cos * py];
}
