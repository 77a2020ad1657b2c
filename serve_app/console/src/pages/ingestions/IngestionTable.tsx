import { Anchor, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';

import type { Ingestion } from '../../api/ingestions';
import { useActor } from '../../parts/useActor';
import { VirtualTable } from '../../parts/VirtualTable';
import { useNumber, useTime, useWords } from '../../words/useWords';
import { IngestionStatus } from './IngestionStatus';

interface Props {
  ingestions: Ingestion[];
  more: (() => void) | undefined;
}

/** What was added before, the latest first. */
export function IngestionTable({ ingestions, more }: Props) {
  const words = useWords();
  const number = useNumber();
  const time = useTime();
  const named = useActor();
  return (
    <VirtualTable
      label={words('ingestions.before')}
      items={ingestions}
      itemKey={({ id }) => id}
      rowHeight={56}
      minWidth={760}
      more={more}
      columns={[
        {
          key: 'source',
          title: words('ingestions.from'),
          cell: ({ id, source, category, files }) => (
            <>
              <Anchor
                size="sm"
                fw={500}
                renderRoot={(props) => (
                  <Link to="/gallery/add/$ingestionId" params={{ ingestionId: id }} {...props} />
                )}
              >
                {source ?? words('ingestions.uploaded')}
              </Anchor>
              <Text size="xs" c="dimmed" truncate maw={320}>
                {[category, files > 0 ? words('ingestions.files', { count: files }) : null].filter(Boolean).join(' · ')}
              </Text>
            </>
          ),
        },
        { key: 'state', title: words('ingestions.state'), cell: ({ state }) => <IngestionStatus state={state} /> },
        {
          key: 'taken',
          title: words('ingestions.taken'),
          align: 'right',
          cell: ({ taken }) => <Text size="sm">{number(taken)}</Text>,
        },
        {
          key: 'refused',
          title: words('ingestions.refused'),
          align: 'right',
          cell: ({ refused }) => <Text size="sm">{number(refused)}</Text>,
        },
        {
          key: 'by',
          title: words('ingestions.by'),
          cell: ({ started_by: by }) => (
            <Text size="sm" truncate maw={160} title={by}>
              {named(by)}
            </Text>
          ),
        },
        {
          key: 'at',
          title: words('ingestions.at'),
          cell: ({ created_at: at }) => <Text size="sm">{time(at)}</Text>,
        },
      ]}
    />
  );
}
