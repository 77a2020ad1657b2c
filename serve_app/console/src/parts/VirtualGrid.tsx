import { useElementSize, useMergedRef } from '@mantine/hooks';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef, useState } from 'react';

import classes from './VirtualGrid.module.css';

interface Props<T> {
  label: string;
  items: T[];
  /** How many there are on the server, where that is known. */
  total?: number | undefined;
  /** At least this wide, in pixels; cells share the width that is left. */
  cellWidth: number;
  /** Height of what stands under the square picture, in pixels. */
  captionHeight: number;
  itemKey: (item: T) => string;
  children: (item: T) => ReactNode;
  /** Fetches the next page; called when the end comes near. */
  more?: (() => void) | undefined;
}

const GAP = 12;
/** The next page is fetched when so many rows are left: some windows, for those who scroll fast. */
const AHEAD = 20;

/** Cells of equal size that scroll with the page; only those near the window exist. */
export function VirtualGrid<T>(props: Props<T>) {
  const { label, items, total, cellWidth, captionHeight, itemKey, children, more } = props;
  const { ref: measured, width } = useElementSize();
  const list = useRef<HTMLDivElement>(null);
  const both = useMergedRef(measured, list);
  const [top, setTop] = useState(0);
  useEffect(() => {
    setTop(list.current?.offsetTop ?? 0);
  }, [width]);

  const columns = Math.max(1, Math.floor((width + GAP) / (cellWidth + GAP)));
  const cell = (width - GAP * (columns - 1)) / columns;
  const rows = Math.ceil(items.length / columns);
  const virtual = useWindowVirtualizer({
    count: width > 0 ? rows : 0,
    estimateSize: () => cell + captionHeight + GAP,
    overscan: 2,
    scrollMargin: top,
  });
  useEffect(() => {
    virtual.measure();
  }, [virtual, cell, captionHeight]);

  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (rows > 0 && last >= rows - AHEAD) more?.();
  }, [last, rows, more]);

  return (
    <div ref={both} role="list" aria-label={label} className={classes.grid} style={{ height: virtual.getTotalSize() }}>
      {shown.map((row) =>
        items.slice(row.index * columns, (row.index + 1) * columns).map((item, column) => (
          <div
            key={itemKey(item)}
            role="listitem"
            aria-posinset={row.index * columns + column + 1}
            aria-setsize={total ?? -1}
            className={classes.cell}
            style={{
              width: cell,
              height: cell + captionHeight,
              transform: `translate(${column * (cell + GAP)}px, ${row.start - top}px)`,
            }}
          >
            {children(item)}
          </div>
        )),
      )}
    </div>
  );
}
