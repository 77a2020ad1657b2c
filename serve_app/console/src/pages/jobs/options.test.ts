import { describe, expect, it } from 'vitest';

import { complete, defaults, KINDS, request } from './options';

describe('options of a Ray job', () => {
  it('are complete once what is needed was given', () => {
    expect(KINDS.filter((kind) => complete(kind, defaults(kind)))).toEqual(['rematch']);
    expect(complete('ingest', { ...defaults('ingest'), source: '/data' })).toBe(true);
    expect(complete('ingest', { ...defaults('ingest'), source: '  ' })).toBe(false);
  });

  it('leave out empty fields', () => {
    expect(request('reembed', { ...defaults('reembed'), pack: ' buffalo_l ' })).toEqual({
      kind: 'reembed',
      pack: 'buffalo_l',
      sample: 500,
    });
  });

  it('take a time of the browser', () => {
    const since = new Date(2026, 1, 3, 4, 5);
    const values = { ...defaults('rematch'), since: '2026-02-03T04:05' };
    expect(request('rematch', values)).toMatchObject({ since: since.toISOString(), users: true });
  });

  it('take globs between commas', () => {
    const values = { ...defaults('ingest'), source: '/data', exclude: '*.txt, old/**,' };
    expect(request('ingest', values)).toMatchObject({ exclude: ['*.txt', 'old/**'], dry_run: true });
  });
});
