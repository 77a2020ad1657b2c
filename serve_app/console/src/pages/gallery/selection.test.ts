import { expect, test } from 'vitest';

import { between, toggled } from './selection';

const items = [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' }];

test('a range goes either way, and is one item where it has no start', () => {
  expect(between(items, 'a', 'c')).toEqual(['a', 'b', 'c']);
  expect(between(items, 'd', 'b')).toEqual(['b', 'c', 'd']);
  expect(between(items, 'gone', 'b')).toEqual(['b']);
  expect(between(items, undefined, 'b')).toEqual(['b']);
});

test('a click chooses one or a range, and leaves them again', () => {
  expect([...toggled(['b'], 'd', ['b', 'c', 'd'])]).toEqual(['b', 'c', 'd']);
  expect([...toggled(['b', 'c', 'd'], 'c', ['c'])]).toEqual(['b', 'd']);
  expect([...toggled(['a', 'b', 'c'], 'b', ['a', 'b'])]).toEqual(['c']);
});
