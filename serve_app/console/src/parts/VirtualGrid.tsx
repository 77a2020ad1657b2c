import { useElementSize, useMergedRef } from '@mantine/hooks';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef, useState } from 'react';

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
/** Rows that are drawn before and after the window: as far as a fast hand scrolls before the next frame. A page that
 * has just come draws no more than it shows. */
const OVERSCAN = 5;

/** Cells of equal size that scroll with the page; only those near the window exist. */
export function VirtualGrid<T>(props: Props<T>) {
  const { label, count, total = count, cellWidth, captionHeight, at, children, onShown } = props;
  const { ref: measured, width } = useElementSize();
  const list = useRef<HTMLDivElement>(null);
  const both = useMergedRef(measured, list);
  const [top, setTop] = useState(0);
  useEffect(() => {
    setTop(list.current?.offsetTop ?? 0);
  }, [width]);

  const columns = Math.max(1, Math.floor((width + GAP) / (cellWidth + GAP)));
  const cell = (width - GAP * (columns - 1)) / columns;
  const rows = Math.ceil(count / columns);
  const [scrolled, setScrolled] = useState(false);
  const virtual = useWindowVirtualizer({
    count: width > 0 ? rows : 0,
    estimateSize: () => cell + captionHeight + GAP,
    overscan: scrolled ? OVERSCAN : 1,
    scrollMargin: top,
    onChange: ({ isScrolling }) => {
      if (isScrolling) setScrolled(true);
    },
  });
  useEffect(() => {
    virtual.measure();
  }, [virtual, cell, captionHeight]);

  const shown = virtual.getVirtualItems();
  const first = (shown[0]?.index ?? 0) * columns;
  const end = Math.min(count, ((shown.at(-1)?.index ?? -1) + 1) * columns);
  useEffect(() => {
    if (end > first) onShown?.(first, end - 1);
  }, [first, end, onShown]);

  return (
    <div ref={both} role="list" aria-label={label} className={classes.grid} style={{ height: virtual.getTotalSize() }}>
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
              width: cell,
              height: cell + captionHeight,
              transform: `translate(${(place % columns) * (cell + GAP)}px, ${row * (cell + captionHeight + GAP)}px)`,
            }}
          >
            {item === undefined ? <div className={classes.unread} /> : children(item, place)}
          </div>
        );
      })}
    </div>
  );
}
