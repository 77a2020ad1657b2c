import { ScrollArea, Table } from '@mantine/core';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef, useState } from 'react';

import classes from './VirtualTable.module.css';

interface Column<T> {
  key: string;
  title: string;
  cell: (item: T) => ReactNode;
  align?: 'left' | 'right';
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  items: T[];
  total?: number | undefined;
  itemKey: (item: T) => string;
  /** Height of a row before it is measured, in pixels. */
  rowHeight?: number;
  /** Below this width, in pixels, the table scrolls sideways; on a phone, its rows are cards. */
  minWidth?: number;
  more?: (() => void) | undefined;
}

/** A long table that scrolls with the page; only the rows near the window exist. */
export function VirtualTable<T>(props: Props<T>) {
  const { label, columns, items, total, itemKey, rowHeight = 42, minWidth = 600, more } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const [top, setTop] = useState(0);
  useEffect(() => {
    setTop((body.current?.getBoundingClientRect().top ?? 0) + globalThis.scrollY);
  }, []);
  const virtual = useWindowVirtualizer({
    count: items.length,
    estimateSize: () => rowHeight,
    overscan: 10,
    scrollMargin: top,
  });
  const shown = virtual.getVirtualItems();
  const first = shown[0];
  const last = shown.at(-1);
  const end = last?.index ?? -1;
  useEffect(() => {
    if (items.length > 0 && end >= items.length - 20) more?.();
  }, [end, items.length, more]);

  const space = (height: number) =>
    height > 0 && (
      <tr aria-hidden="true">
        <td colSpan={columns.length} style={{ height, padding: 0 }} />
      </tr>
    );
  return (
    <ScrollArea type="auto" scrollbars="x" viewportProps={{ tabIndex: 0 }}>
      <Table
        // The roles are said because a browser forgets those of elements that are not laid out as a table.
        role="table"
        aria-label={label}
        aria-rowcount={total ?? -1}
        className={classes.table}
        __vars={{ '--least-width': `${String(minWidth)}px` }}
        highlightOnHover
        verticalSpacing="xs"
      >
        <Table.Thead role="rowgroup">
          <Table.Tr role="row">
            {columns.map(({ key, title, align = 'left' }) => (
              <Table.Th key={key} role="columnheader" ta={align}>
                {title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody ref={body} role="rowgroup">
          {space((first?.start ?? top) - top)}
          {shown.map((row) => {
            const item = items[row.index];
            if (item === undefined) return null;
            return (
              <Table.Tr
                key={itemKey(item)}
                role="row"
                className={classes.row}
                data-index={row.index}
                ref={virtual.measureElement}
                aria-rowindex={row.index + 2}
              >
                {columns.map(({ key, title, cell, align = 'left' }) => (
                  <Table.Td key={key} role="cell" className={classes.cell} data-title={title} ta={align}>
                    {cell(item)}
                  </Table.Td>
                ))}
              </Table.Tr>
            );
          })}
          {space(virtual.getTotalSize() + top - (last?.end ?? top))}
        </Table.Tbody>
      </Table>
    </ScrollArea>
  );
}
