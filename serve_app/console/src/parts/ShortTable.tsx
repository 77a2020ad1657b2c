import { Table } from '@mantine/core';

import { type Column, TableFrame, TableRow } from './TableFrame';

interface Props<T> {
  label: string;
  columns: Column<T>[];
  items: T[];
  itemKey: (item: T) => string;
  minWidth?: number;
}

/** A table all of whose rows exist. */
export function ShortTable<T>({ label, columns, items, itemKey, minWidth = 420 }: Props<T>) {
  return (
    <TableFrame label={label} columns={columns} rowCount={items.length + 1} minWidth={minWidth}>
      <Table.Tbody role="rowgroup">
        {items.map((item) => (
          <TableRow key={itemKey(item)} item={item} columns={columns} />
        ))}
      </Table.Tbody>
    </TableFrame>
  );
}
