import type { Deletion } from '../../api/gallery';

const KEY = 'semblance.deletions';

/** A deletion that can be undone until a time by this browser's clock, which need not be right. */
export interface KeptDeletion extends Deletion {
  until: number;
}

/** One that was made just now. */
export function made(deletion: Deletion, now = Date.now()): KeptDeletion {
  return { ...deletion, until: now + 1000 * deletion.undo_seconds };
}

/** For how many milliseconds it can still be undone, also if the clock was set back meanwhile. */
export function timeLeft({ until, undo_seconds: seconds }: KeptDeletion, now = Date.now()): number {
  return Math.min(until - now, 1000 * seconds);
}

/** The deletions that were made in this tab and can still be undone, also after it was loaded again. */
export function keptDeletions(now = Date.now()): KeptDeletion[] {
  let kept: unknown;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  } catch {
    kept = [];
  }
  return Array.isArray(kept) ? kept.filter(isDeletion).filter((deletion) => timeLeft(deletion, now) > 0) : [];
}

export function keepDeletion(deletion: KeptDeletion): void {
  write([...keptDeletions(), deletion]);
}

/** Of one that was undone. */
export function forgetDeletion(id: string): void {
  write(keptDeletions().filter(({ deletion_id: each }) => each !== id));
}

function write(deletions: KeptDeletion[]): void {
  sessionStorage.setItem(KEY, JSON.stringify(deletions));
}

/** What an earlier version of the page wrote may have another form. */
function isDeletion(value: unknown): value is KeptDeletion {
  const { deletion_id: id, photos, undo_seconds: seconds, until } = (value ?? {}) as Partial<KeptDeletion>;
  return (
    typeof id === 'string' && typeof photos === 'number' && typeof seconds === 'number' && typeof until === 'number'
  );
}
