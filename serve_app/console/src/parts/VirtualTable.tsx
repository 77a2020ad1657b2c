import { Table } from '@mantine/core';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef } from 'react';

import { type Column, TableFrame, TableRow } from './TableFrame';
import { useTop } from './useTop';

interface Props<T> {
  label: string;
  columns: Column<T>[];
  items: T[];
  total?: number | undefined;
  itemKey: (item: T) => string;
  /** Height of a row before it is measured, in pixels. */
  rowHeight?: number;
  minWidth?: number;
  more?: (() => void) | undefined;
}

/** A long table that scrolls with the page; only the rows near the window exist. */
export function VirtualTable<T>(props: Props<T>) {
  const { label, columns, items, total, itemKey, rowHeight = 42, minWidth = 600, more } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const top = useTop(body);
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
    <TableFrame label={label} columns={columns} rowCount={total === undefined ? -1 : total + 1} minWidth={minWidth}>
      <Table.Tbody ref={body} role="rowgroup">
        {space((first?.start ?? top) - top)}
        {shown.map((row) => {
          const item = items[row.index];
          if (item === undefined) return null;
          return (
            <TableRow
              key={itemKey(item)}
              item={item}
              columns={columns}
              data-index={row.index}
              ref={virtual.measureElement}
              aria-rowindex={row.index + 2}
            />
          );
        })}
        {space(virtual.getTotalSize() + top - (last?.end ?? top))}
      </Table.Tbody>
    </TableFrame>
  );
}
