/** What is said of refusals, in which language. */
import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { SAYS, tell } from './refusals';

const ENGLISH = 'The photo has 90 x 90,000 pixels.';

function words(id: string, values?: Record<string, string | number>): string {
  return [id, ...Object.values(values ?? {})].join(' ');
}

describe('refusals', () => {
  it('have words for each code, and for no other', () => {
    const catalog = readFileSync('src/parts/refusals/words.en.po', 'utf8');
    const codes = [...catalog.matchAll(/^msgid "refusal\.(.+)"$/gm)].map(([, code]) => code);
    expect(codes).toEqual(Object.keys(SAYS));
  });

  it('are told in the language of the page, with what the service says more', () => {
    const refused = { code: 'image_too_large', message: ENGLISH };
    expect(tell(refused, 'de', words)).toEqual({ text: 'refusal.image_too_large', own: ENGLISH });
    expect(tell(refused, 'en', words)).toEqual({ text: ENGLISH, own: undefined });
  });

  it('are told without the service where its code says all', () => {
    const refused = { code: 'storage_full', message: 'No pictures can be stored.' };
    expect(tell(refused, 'de', words)).toEqual({ text: 'refusal.storage_full', own: undefined });
    expect(tell(refused, 'en', words)).toEqual({ text: 'refusal.storage_full', own: undefined });
  });

  it('keep what the service tells besides', () => {
    const refused = { code: 'school_taken', message: 'Taken.', details: { name: 'uni.edu', school: 'Uni', fields: [] } };
    expect(tell(refused, 'de', words).text).toBe('refusal.school_taken uni.edu Uni');
  });

  it('of a newer service are told as it tells them', () => {
    expect(tell({ code: 'on_strike', message: 'No.' }, 'de', words)).toEqual({ text: 'No.', own: undefined });
    expect(tell({ code: 'on_strike', message: '' }, 'de', words).text).toBe('refusal.unknown');
  });
});
