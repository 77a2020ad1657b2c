import { useCallback, useRef, useState } from 'react';

import { span, toggled, without } from './selection';

/** The chosen ones of a list. */
export interface Selection<T> {
  chosen: T[];
  has: (id: string) => boolean;
  /** Chooses or leaves the item of a place; range: as all from the last place that was clicked up to it. */
  toggle: (place: number, item: T, range: boolean) => Promise<void>;
  /** Chooses the first so many. */
  all: (count: number) => Promise<void>;
  /** Leaves those with these ids. */
  drop: (ids: readonly string[]) => void;
  clear: () => void;
}

/**
 * What is chosen of a list.
 *
 * @param read - the items from one place up to another, which is not included; a new function for another list.
 */
export function useSelection<T extends { id: string }>(
  read: (start: number, end: number) => Promise<T[]>,
): Selection<T> {
  const [chosen, setChosen] = useState<ReadonlyMap<string, T>>(new Map());
  const last = useRef<{ place: number; list: typeof read }>(undefined);
  const toggle = useCallback(
    async (place: number, item: T, range: boolean) => {
      const from = last.current?.list === read ? last.current.place : undefined;
      last.current = { place, list: read };
      const those = range ? await read(...span(from, place)) : [item];
      setChosen((before) => toggled(before, item.id, those));
    },
    [read],
  );
  return {
    chosen: [...chosen.values()],
    has: (id) => chosen.has(id),
    toggle,
    all: async (count) => {
      const items = await read(0, count);
      setChosen(new Map(items.map((item) => [item.id, item])));
    },
    drop: (ids) => {
      setChosen((before) => without(before, ids));
    },
    clear: () => {
      setChosen(new Map());
    },
  };
}
