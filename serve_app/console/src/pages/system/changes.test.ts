import { describe, expect, it } from 'vitest';

import { changes } from './changes';

describe('a change', () => {
  it('says what became what', () => {
    expect(changes({ threshold: 0.5, name: 'a' }, { threshold: 0.6, name: 'a' })).toEqual(['threshold: 0.5 → 0.6']);
  });

  it('may only begin or end something', () => {
    expect(changes(null, { name: 'Booth', scopes: ['compute'] })).toEqual(['name: Booth', 'scopes: ["compute"]']);
    expect(changes({ name: 'Booth' }, null)).toEqual(['name: Booth']);
    expect(changes(null, null)).toEqual([]);
  });
});
