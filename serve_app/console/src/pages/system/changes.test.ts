import { describe, expect, it } from 'vitest';

import { changes } from './changes';

const time = (at: string) => `at ${at.slice(11, 16)}`;

describe('a change', () => {
  it('says what became what', () => {
    expect(changes({ threshold: 0.5, name: 'a' }, { threshold: 0.6, name: 'a' }, time)).toEqual(['threshold: 0.5 → 0.6']);
  });

  it('may only begin or end something', () => {
    expect(changes(null, { name: 'Booth', scopes: ['compute'] }, time)).toEqual(['name: Booth', 'scopes: ["compute"]']);
    expect(changes({ name: 'Booth' }, null, time)).toEqual(['name: Booth']);
    expect(changes(null, null, time)).toEqual([]);
  });

  it('writes times as the page does, and nothing else', () => {
    expect(changes(null, { ends: '2026-11-29T22:21:29.740328+00:00' }, time)).toEqual(['ends: at 22:21']);
    expect(changes(null, { name: '2026-11-29' }, time)).toEqual(['name: 2026-11-29']);
  });
});
