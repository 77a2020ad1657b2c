import { SegmentedControl, Text } from '@mantine/core';
import { useState } from 'react';

import type { System } from '../../api/system';
import { useNumber, useWords } from '../../words/useWords';
import { Facts } from './Facts';
import { NumberTable } from '../../parts/NumberTable';
import { Section } from '../../parts/Section';
import { useBytes } from './useBytes';

type Part = 'tables' | 'indexes';

/** The database: how large it is, and what takes the room. */
export function DatabaseCard({ database }: { database: System['database'] }) {
  const words = useWords();
  const number = useNumber();
  const bytes = useBytes();
  const [part, setPart] = useState<Part>('tables');
  const { revision, newest_revision: newest } = database;
  return (
    <Section
      title={words('system.database')}
      aside={
        <SegmentedControl
          size="sm"
          aria-label={words('system.database-part')}
          value={part}
          onChange={setPart}
          data={(['tables', 'indexes'] as const).map((value) => ({ value, label: words(`system.${value}`) }))}
        />
      }
    >
      <Facts
        facts={[
          [words('system.size'), bytes(database.bytes)],
          [
            words('system.migration'),
            revision === null || revision === newest
              ? (revision ?? '–')
              : words('system.migration-old', { revision, newest }),
          ],
        ]}
      />
      {part === 'tables' ? (
        <NumberTable
          label={words('system.tables')}
          columns={[
            words('system.table'),
            words('system.rows'),
            words('system.bytes'),
            words('system.index-bytes'),
          ]}
          rows={database.tables.map((table) => ({
            key: table.name,
            cells: [table.name, number(table.rows), bytes(table.bytes), bytes(table.index_bytes)],
          }))}
        />
      ) : (
        <NumberTable
          label={words('system.indexes')}
          columns={[words('system.index'), words('system.bytes'), words('system.scans')]}
          rows={database.indexes.map((index) => ({
            key: index.name,
            cells: [index.name, bytes(index.bytes), number(index.scans)],
          }))}
        />
      )}
      <Text size="xs" c="dimmed">
        {words(part === 'tables' ? 'system.tables-what' : 'system.indexes-what')}
      </Text>
    </Section>
  );
}
