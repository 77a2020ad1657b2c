// @vitest-environment jsdom
import { describe, expect, test } from 'vitest';

import { pagesAround } from '../../api/gallery';
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

test('the pages of what is shown come with those around it', () => {
  expect(pagesAround(0, 40)).toEqual([0]);
  expect(pagesAround(40, 80)).toEqual([0, 1]);
  expect(pagesAround(99_960, 99_999)).toEqual([999, 1000]);
});
