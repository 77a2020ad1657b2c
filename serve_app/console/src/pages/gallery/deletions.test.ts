// @vitest-environment jsdom
import { beforeEach, expect, test } from 'vitest';

import { forgetDeletion, keepDeletion, keptDeletions, made, timeLeft } from './deletions';

const answered = (id: string) => ({ deletion_id: id, people: 1, photos: 2, undo_seconds: 60 });
const now = Date.now();
const early = made(answered('a'), now - 30_000);
const late = made(answered('b'), now - 10_000);

beforeEach(() => {
  sessionStorage.clear();
});

test('deletions are kept until they can no longer be undone', () => {
  keepDeletion(early);
  keepDeletion(late);
  expect(keptDeletions(now)).toEqual([early, late]);
  expect(keptDeletions(now + 40_000)).toEqual([late]);
  expect(keptDeletions(now + 50_000)).toEqual([]);
});

test.each(['2001-01-01', '2126-01-01'])('the minute lasts as long by a clock that says %s', (date) => {
  const wrong = Date.parse(date);
  const deletion = made(answered('a'), wrong);
  expect(timeLeft(deletion, wrong)).toBe(60_000);
  expect(timeLeft(deletion, wrong + 45_000)).toBe(15_000);
  // The clock was set back.
  expect(timeLeft(deletion, wrong - 3_600_000)).toBe(60_000);
});

test('one that was undone is forgotten', () => {
  keepDeletion(early);
  keepDeletion(late);
  forgetDeletion('a');
  forgetDeletion('c');
  expect(keptDeletions(now)).toEqual([late]);
});

test.each([
  '',
  '{',
  'null',
  '3',
  '[null, 1, {"deletion_id": "a"}]',
  '[{"deletion_id": "a", "photos": 1, "undo_until": "2126-01-01T12:00:00Z"}]',
])('what is no list of deletions is none: %s', (stored) => {
  sessionStorage.setItem('semblance.deletions', stored);
  expect(keptDeletions(now)).toEqual([]);
});
