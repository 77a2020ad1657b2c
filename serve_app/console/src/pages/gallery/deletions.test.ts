// @vitest-environment jsdom
import { beforeEach, expect, test } from 'vitest';

import { forgetDeletion, keepDeletion, keptDeletions } from './deletions';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const made = (id: string, until: string) => ({ deletion_id: id, people: 1, photos: 2, undo_until: until });
const early = made('a', '2126-01-01T12:00:30Z');
const late = made('b', '2126-01-01T12:00:50Z');

beforeEach(() => {
  sessionStorage.clear();
});

test('deletions are kept until they can no longer be undone', () => {
  keepDeletion(early);
  keepDeletion(late);
  expect(keptDeletions(NOW)).toEqual([early, late]);
  expect(keptDeletions(Date.parse('2126-01-01T12:00:40Z'))).toEqual([late]);
  expect(keptDeletions(Date.parse('2126-01-01T12:01:00Z'))).toEqual([]);
});

test('one that was undone is forgotten', () => {
  keepDeletion(early);
  keepDeletion(late);
  forgetDeletion('a');
  forgetDeletion('c');
  expect(keptDeletions(NOW)).toEqual([late]);
});

test.each(['', '{', 'null', '3', '[null, 1, {"deletion_id": "a"}]', '[{"deletion_id": "a", "photos": 1, "undo_until": "x"}]'])(
  'what is no list of deletions is none: %s',
  (stored) => {
    sessionStorage.setItem('semblance.deletions', stored);
    expect(keptDeletions(NOW)).toEqual([]);
  },
);
