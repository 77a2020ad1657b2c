import { describe, expect, it } from 'vitest';

import { sorted } from './choice';

const file = (name: string, size: number, path?: string) =>
  Object.assign(new File(['x'.repeat(size)], name), path === undefined ? {} : { path });

describe('what is uploaded', () => {
  it('is each path once, without what is empty or too large', () => {
    const chosen = [
      file('a.jpg', 3, './actors/a.jpg'),
      file('a.jpg', 4, './athletes/a.jpg'),
      file('a.jpg', 5, './actors/a.jpg'),
      file('large.jpg', 11),
      file('large.ZIP', 11),
      file('empty.jpg', 0),
      file('.DS_Store', 0),
    ];
    const { files, left, size } = sorted(chosen, 10);
    expect(files.map(({ size: bytes }) => bytes)).toEqual([5, 4, 11]);
    expect(left.map(({ name }) => name)).toEqual(['large.jpg', 'empty.jpg']);
    expect(size).toBe(20);
  });
});
