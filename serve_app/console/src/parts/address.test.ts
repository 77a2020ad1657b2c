import { expect, test } from 'vitest';

import { searchOf as jobs } from '../pages/jobs/search';
import { searchOf as system } from '../pages/system/search';
import { isTyping } from './address';

test('an address keeps the tab and what narrows its list', () => {
  expect(jobs({ tab: 'match', status: 'failed' })).toEqual({ tab: 'match', status: 'failed' });
  expect(system({ tab: 'audit', what: 'person', who: 'admin' })).toEqual({ tab: 'audit', what: 'person', who: 'admin' });
});

test('it leaves out what there is not', () => {
  expect(jobs({ tab: 'all', status: 3 })).toEqual({});
  expect(system({ tab: ['audit'], what: 'toString', who: null })).toEqual({});
});

test('a text that grows is typed; one that begins or ends is a step', () => {
  expect(isTyping('a', 'ad')).toBe(true);
  expect(isTyping(undefined, 'a')).toBe(false);
  expect(isTyping('a', undefined)).toBe(false);
  expect(isTyping('a', 'a')).toBe(false);
});
