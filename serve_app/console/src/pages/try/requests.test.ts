import { describe, expect, it } from 'vitest';

import { curl, python, readable } from './requests';

const CALL = { path: '/lookalikes?faces=all', files: [{ field: 'file', name: 'me & you.jpg' }] };

describe('a request', () => {
  it('is a command that a shell takes as it stands', () => {
    expect(curl(CALL)).toBe(
      'curl -H "Authorization: Bearer $SEMBLANCE_KEY" \\\n' +
        "  -F 'file=@me & you.jpg' \\\n" +
        '  "$SEMBLANCE_URL/lookalikes?faces=all"',
    );
  });

  it('quotes what would end the quotes', () => {
    expect(curl({ path: '/x', files: [{ field: 'file', name: "it's" }] })).toContain(`'file=@it'\\''s'`);
  });

  it('is Python with every file', () => {
    const files = ['a', 'b'].map((each) => ({ field: `file_${each}`, name: `${each}".jpg` }));
    const text = python({ path: '/compare-photos', files });
    expect(text).toContain('os.environ["SEMBLANCE_URL"] + "/compare-photos"');
    expect(text).toContain('("file_a", open("a\\".jpg", "rb")),\n        ("file_b"');
  });
});

describe('an answer', () => {
  it('is JSON where nothing is long', () => {
    const answer = { a: [1, 2], b: { c: null, d: [{ e: 'f' }], g: {}, h: [] } };
    expect(JSON.parse(readable(answer))).toEqual(answer);
    expect(readable({ a: [1, 2] })).toBe('{\n  "a": [1, 2]\n}');
  });

  it('does not show all numbers of an embedding', () => {
    expect(readable({ embedding: Array.from({ length: 512 }, () => 0.5) })).toContain('[0.5, 0.5, 0.5, … 512 in all]');
  });
});
