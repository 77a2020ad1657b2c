import { expect, test } from 'vitest';

import { span, toggled, without } from './selection';

const of = (...ids: string[]) => ids.map((id) => ({ id }));
const chosen = (...ids: string[]) => new Map(ids.map((id) => [id, { id }]));

test('a click chooses one or a range, and leaves them again', () => {
  expect([...toggled(chosen('b'), 'd', of('b', 'c', 'd')).keys()]).toEqual(['b', 'c', 'd']);
  expect([...toggled(chosen('b', 'c', 'd'), 'c', of('c')).keys()]).toEqual(['b', 'd']);
  expect([...toggled(chosen('a', 'b', 'c'), 'b', of('a', 'b')).keys()]).toEqual(['c']);
});

test('a range goes either way, and is one item where it has no start', () => {
  expect(span(0, 2)).toEqual([0, 3]);
  expect(span(3, 1)).toEqual([1, 4]);
  expect(span(undefined, 1)).toEqual([1, 2]);
});

test('who has vanished is chosen no longer', () => {
  expect([...without(chosen('a', 'b', 'c'), ['b', 'd']).keys()]).toEqual(['a', 'c']);
});
