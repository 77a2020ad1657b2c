import type { ReactNode } from 'react';

import { ShortTable } from './ShortTable';

interface Row {
  key: string;
  cells: ReactNode[];
}

interface Props {
  label: string;
  /** Titles of the columns; from the second on they hold numbers. */
  columns: string[];
  rows: Row[];
}

/** A short table of numbers. */
export function NumberTable({ label, columns, rows }: Props) {
  return (
    <ShortTable
      label={label}
      items={rows}
      itemKey={({ key }: Row) => key}
      columns={columns.map((title, place) => ({
        key: title,
        title,
        align: place === 0 ? 'left' : 'right',
        cell: ({ cells }: Row) => cells[place],
      }))}
    />
  );
}
