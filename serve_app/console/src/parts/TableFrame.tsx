import { ScrollArea, Table } from '@mantine/core';
import { type ComponentPropsWithRef, type ReactNode, useCallback, useState } from 'react';

import classes from './TableFrame.module.css';

export interface Column<T> {
  key: string;
  title: string;
  cell: (item: T) => ReactNode;
  align?: 'left' | 'right';
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  /** -1: not known. */
  rowCount: number;
  /** Below this width, in pixels, the table scrolls sideways; on a phone, its rows are cards. */
  minWidth: number;
  /** The body. */
  children: ReactNode;
}

/** A table with its head. It scrolls sideways where it is too wide, by keyboard too. */
export function TableFrame<T>({ label, columns, rowCount, minWidth, children }: Props<T>) {
  const [viewport, scrolls] = useScrolls();
  return (
    <ScrollArea
      type="auto"
      scrollbars="x"
      viewportRef={viewport}
      // Where there is nothing to scroll, it would be a stop that does nothing.
      viewportProps={scrolls ? { tabIndex: 0, role: 'region', 'aria-label': label } : {}}
    >
      <Table
        // The roles are said because a browser forgets those of elements that are not laid out as a table.
        role="table"
        aria-label={label}
        aria-rowcount={rowCount}
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
        {children}
      </Table>
    </ScrollArea>
  );
}

/** Whether an element is wider inside than outside. */
function useScrolls(): [(element: HTMLDivElement) => () => void, boolean] {
  const [scrolls, setScrolls] = useState(false);
  const watch = useCallback((element: HTMLDivElement) => {
    const observer = new ResizeObserver(() => {
      setScrolls(element.scrollWidth > element.clientWidth);
    });
    for (const each of [element, ...element.children]) observer.observe(each);
    return () => {
      observer.disconnect();
    };
  }, []);
  return [watch, scrolls];
}

interface RowProps<T> extends Omit<ComponentPropsWithRef<'tr'>, 'children'> {
  item: T;
  columns: Column<T>[];
}

export function TableRow<T>({ item, columns, ...row }: RowProps<T>) {
  return (
    <Table.Tr role="row" className={classes.row} {...row}>
      {columns.map(({ key, title, cell, align = 'left' }) => (
        <Table.Td key={key} role="cell" className={classes.cell} data-title={title} data-align={align} ta={align}>
          <div className={classes.value}>{cell(item)}</div>
        </Table.Td>
      ))}
    </Table.Tr>
  );
}
