import { describe, expect, it } from 'vitest';

import type { Generation } from '../../api/texts';
import { byKind } from './calls';

function day(kind: Generation['kind'], model: string, completed: number, failed = 0): Generation {
  return {
    day: '2026-11-27',
    kind,
    provider: 'openai',
    model,
    completed,
    failed,
    processing: 0,
    tokens_in: 10 * completed,
    tokens_out: completed,
    success_rate: null,
    duration_p50_ms: null,
    duration_p95_ms: null,
  };
}

describe('byKind', () => {
  it('adds the days of a kind and model', () => {
    const found = byKind([day('icebreaker', 'a', 1), day('reply', 'a', 2, 1), day('reply', 'b', 1), day('reply', 'a', 3)]);
    expect(found).toEqual([
      { kind: 'reply', model: 'a', completed: 5, failed: 1, tokensIn: 50, tokensOut: 5 },
      { kind: 'icebreaker', model: 'a', completed: 1, failed: 0, tokensIn: 10, tokensOut: 1 },
      { kind: 'reply', model: 'b', completed: 1, failed: 0, tokensIn: 10, tokensOut: 1 },
    ]);
  });

  it('has nothing of no days', () => {
    expect(byKind([])).toEqual([]);
  });
});
