import type { Face } from '../../api/faces';

export type Advice = 'turned' | 'dark' | 'blurred';

/** Below it a face is matched with nobody (docs/matching.md). */
const LEAST_QUALITY = 0.6;
const MOST_YAW_DEGREES = 35;
const LEAST_PART = 0.4;

/** What would make a better photo of a face, where it would matter. */
export function advice(face: Face): Advice | undefined {
  if (Math.abs(face.pose.yaw) > MOST_YAW_DEGREES) return 'turned';
  if (face.quality.overall >= LEAST_QUALITY) return undefined;
  if (face.quality.illumination < LEAST_PART) return 'dark';
  return 'blurred';
}
