import { ScrollArea, Table } from '@mantine/core';
import type { ComponentPropsWithRef, ReactNode } from 'react';

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
  return (
    <ScrollArea type="auto" scrollbars="x" viewportProps={{ tabIndex: 0 }}>
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
