import { describe, expect, it } from 'vitest';

import { isNarrow, ofLimit, searchOf } from './filter';

describe('the address of the page', () => {
  it('keeps what the server can apply', () => {
    const given = {
      search: 'ada',
      role: 'admin',
      blocked: false,
      user: '0b6f0f4e-6a0e-4c7c-9a57-0d8b1f1f7a11',
    };
    expect(searchOf(given)).toEqual(given);
    expect(isNarrow(searchOf(given))).toBe(true);
  });

  it('leaves out everything else', () => {
    const odd = searchOf({ search: '  ', role: 'owner', blocked: 'yes', user: '../1', page: 3 });
    expect(Object.values(odd).every((value) => value === undefined)).toBe(true);
    expect(isNarrow(odd)).toBe(false);
  });

  it('takes a name of digits, which the router reads as a number', () => {
    expect(searchOf({ search: 50 }).search).toBe('50');
  });
});

it('a limit is said where there is one', () => {
  expect(ofLimit(3, 20, String)).toBe('3 / 20');
  expect(ofLimit(3, -1, String)).toBe('3');
});
