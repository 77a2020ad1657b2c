import { describe, expect, test } from 'vitest';

import { without } from '../../api/people';
import { filterOf, isNarrow } from './filter';

describe('the filter of an address', () => {
  test('keeps what the server can apply', () => {
    const search = { name: 'ada', category: 'authors', gender: 'female', least_quality: 0.7 };
    expect(filterOf(search)).toEqual(search);
    expect(isNarrow(filterOf(search))).toBe(true);
  });

  test('leaves out everything else', () => {
    const odd = { name: ' ', category: ['a'], gender: 'other', least_quality: 'high', page: 3 };
    expect(isNarrow(filterOf(odd))).toBe(false);
    expect(isNarrow(filterOf({ name: 'x'.repeat(201) }))).toBe(false);
  });

  test('takes a name of digits, which the router reads as a number', () => {
    expect(filterOf({ name: 50 }).name).toBe('50');
  });
});

test('people who are deleted leave every page of the list, and its total', () => {
  const person = (id: string) => ({ id }) as never;
  const page = (ids: string[], total: number | null) => ({ people: ids.map(person), next_cursor: null, total });
  const list = { pages: [page(['a', 'b'], 5), page(['c', 'd'], null)], pageParams: [null, 'x'] };
  const left = without(list, new Set(['b', 'c', 'z']));
  expect(left.pages).toEqual([page(['a'], 3), page(['d'], null)]);
});
