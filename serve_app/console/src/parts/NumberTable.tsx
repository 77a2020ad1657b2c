import { Table } from '@mantine/core';
import type { ReactNode } from 'react';

interface Props {
  label: string;
  /** Titles of the columns; from the second on they hold numbers. */
  columns: string[];
  rows: { key: string; cells: ReactNode[] }[];
}

/** A short table of numbers. */
export function NumberTable({ label, columns, rows }: Props) {
  const align = (place: number) => (place === 0 ? 'left' : 'right');
  return (
    <Table.ScrollContainer minWidth={420}>
      <Table aria-label={label} verticalSpacing={6} highlightOnHover>
        <Table.Thead>
          <Table.Tr>
            {columns.map((title, place) => (
              <Table.Th key={title} ta={align(place)}>
                {title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map(({ key, cells }) => (
            <Table.Tr key={key}>
              {cells.map((cell, place) => (
                <Table.Td key={columns[place]} ta={align(place)}>
                  {cell}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
