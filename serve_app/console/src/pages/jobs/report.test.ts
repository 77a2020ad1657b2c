import { describe, expect, it } from 'vitest';

import { entry } from './report';

describe('a line of a report', () => {
  it('of an ingestion names its input', () => {
    const line = { input: 'actors/a.jpg', outcome: 'no_face', reason: 'no face was found', image_hash: 'ab' };
    expect(entry(line)).toEqual({ input: 'actors/a.jpg', outcome: 'no_face', reason: 'no face was found' });
  });

  it('of a re-embedding names the picture', () => {
    const line = { table: 'faces', id: '1', image_path: 'faces/1.jpg', outcome: 'failed', reason: 'damaged' };
    expect(entry(line).input).toBe('faces/1.jpg');
  });

  it('may say little', () => {
    expect(entry({ outcome: 'ingested' })).toEqual({ input: '', outcome: 'ingested', reason: '' });
  });
});
