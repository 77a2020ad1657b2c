import { useElementSize, useMergedRef } from '@mantine/hooks';
import { type Range, useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useCallback, useEffect, useRef, useState } from 'react';

import { usePlaceAgain } from './usePlaceAgain';
import { useTop } from './useTop';
import classes from './VirtualGrid.module.css';

interface Props<T> {
  label: string;
  /** How many cells there are. */
  count: number;
  /** How many there are on the server, if not as many. */
  total?: number | undefined;
  /** At least this wide, in pixels; cells share the width that is left. */
  cellWidth: number;
  /** Height of what stands under the square picture, in pixels. */
  captionHeight: number;
  /** What stands in a cell, from 0; undefined where it is not read yet. */
  at: (place: number) => T | undefined;
  children: (item: T, place: number) => ReactNode;
  /** Told which cells are drawn: the first and the last. */
  onShown?: ((first: number, last: number) => void) | undefined;
}

const GAP = 12;
/** Rows that are drawn beyond the window: as far as a fast hand scrolls before the next frame, and a few for when it
 * turns round. A page that has just come draws hardly more than it shows. */
const AHEAD = 8;
const BEHIND = 2;
const AT_REST = 1;

type Travel = 'forward' | 'backward' | null;

/** Cells of equal size that scroll with the page; only those near the window exist. */
export function VirtualGrid<T>(props: Props<T>) {
  const { label, count, total = count, cellWidth, captionHeight, at, children, onShown } = props;
  const { ref: measured, width } = useElementSize();
  const list = useRef<HTMLDivElement>(null);
  const both = useMergedRef(measured, list);
  const top = useTop(list);

  const columns = Math.max(1, Math.floor((width + GAP) / (cellWidth + GAP)));
  const cell = (width - GAP * (columns - 1)) / columns;
  const rows = Math.ceil(count / columns);
  // Nothing has a height before the width is known: what is drawn for one would move.
  const rowHeight = width > 0 ? cell + captionHeight + GAP : 0;
  const [travel, setTravel] = useState<Travel>(null);
  const virtual = useWindowVirtualizer({
    count: width > 0 ? rows : 0,
    estimateSize: () => rowHeight,
    rangeExtractor: useCallback((range: Range) => rowsAround(range, travel), [travel]),
    scrollMargin: top,
    onChange: ({ scrollDirection }) => {
      if (scrollDirection) setTravel(scrollDirection);
    },
  });
  useEffect(() => {
    virtual.measure();
  }, [virtual, rowHeight]);

  usePlaceAgain(rowHeight > 0);

  const shown = virtual.getVirtualItems();
  const first = (shown[0]?.index ?? 0) * columns;
  const end = Math.min(count, ((shown.at(-1)?.index ?? -1) + 1) * columns);
  useEffect(() => {
    if (end > first) onShown?.(first, end - 1);
  }, [first, end, onShown]);

  const lengths = {
    '--cell': `${String(cell)}px`,
    '--gap': `${String(GAP)}px`,
    '--row': `${String(rowHeight)}px`,
    '--last-row': `${String((count - (rows - 1) * columns) * (cell + GAP))}px`,
    height: virtual.getTotalSize(),
  };
  return (
    <div ref={both} role="list" aria-label={label} className={classes.grid} style={lengths}>
      {Array.from({ length: Math.max(0, end - first) }, (_, each) => {
        const place = first + each;
        const row = Math.floor(place / columns);
        const item = at(place);
        return (
          <div
            key={place}
            role="listitem"
            aria-posinset={place + 1}
            aria-setsize={total}
            className={classes.cell}
            style={{
              transform: `translate(${String((place % columns) * (cell + GAP))}px, ${String(row * rowHeight)}px)`,
            }}
          >
            {item === undefined ? <div className={classes.unread} /> : children(item, place)}
          </div>
        );
      })}
    </div>
  );
}

/** The rows in the window and those that are drawn before and after it. */
function rowsAround({ startIndex, endIndex, count }: Range, travel: Travel): number[] {
  const beyond = travel === null ? AT_REST : BEHIND;
  const first = Math.max(0, startIndex - (travel === 'backward' ? AHEAD : beyond));
  const last = Math.min(count - 1, endIndex + (travel === 'forward' ? AHEAD : beyond));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, each) => first + each);
}
