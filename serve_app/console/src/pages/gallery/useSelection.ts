import { useState } from 'react';

import { between, toggled } from './selection';

/** The chosen ones of a list. */
export interface Selection {
  ids: string[];
  has: (id: string) => boolean;
  /** Chooses or leaves an item; range: as all from the last one that was chosen up to it. */
  toggle: (id: string, range: boolean) => void;
  all: () => void;
  clear: () => void;
}

/** What is chosen of items that come and go: those that are gone are chosen no longer. */
export function useSelection(items: readonly { id: string }[]): Selection {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [last, setLast] = useState<string>();
  const ids = chosen.size === 0 ? [] : items.filter(({ id }) => chosen.has(id)).map(({ id }) => id);
  return {
    ids,
    has: (id) => chosen.has(id),
    toggle: (id, range) => {
      setChosen(toggled(ids, id, range ? between(items, last, id) : [id]));
      setLast(id);
    },
    all: () => {
      setChosen(new Set(items.map(({ id }) => id)));
    },
    clear: () => {
      setChosen(new Set());
    },
  };
}
