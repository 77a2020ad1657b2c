import type { Deletion } from '../../api/gallery';

const KEY = 'semblance.deletions';

/** The deletions that were made in this tab and can still be undone, also after it was loaded again. */
export function keptDeletions(now = Date.now()): Deletion[] {
  let kept: unknown;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  } catch {
    kept = [];
  }
  return Array.isArray(kept) ? kept.filter(isDeletion).filter(({ undo_until: until }) => Date.parse(until) > now) : [];
}

export function keepDeletion(deletion: Deletion): void {
  write([...keptDeletions(), deletion]);
}

/** Of one that was undone. */
export function forgetDeletion(id: string): void {
  write(keptDeletions().filter(({ deletion_id: each }) => each !== id));
}

function write(deletions: Deletion[]): void {
  sessionStorage.setItem(KEY, JSON.stringify(deletions));
}

/** What an earlier version of the page wrote may have another form. */
function isDeletion(value: unknown): value is Deletion {
  const { deletion_id: id, photos, undo_until: until } = (value ?? {}) as Partial<Deletion>;
  return typeof id === 'string' && typeof photos === 'number' && typeof until === 'string';
}
