import { Code, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';

import { useAudit } from '../../api/system';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { FilterBar } from '../../parts/FilterBar';
import { ACTORS, useActor } from '../../parts/useActor';
import { VirtualTable } from '../../parts/VirtualTable';
import { Working } from '../../parts/Working';
import { useTime, useWords } from '../../words/useWords';
import { changes } from './changes';

const NOUNS = [
  'settings',
  'rescoring',
  'user',
  'profile',
  'person',
  'gallery',
  'ingestion',
  'job',
  'job_queue',
  'ray_job',
  'pack',
  'school',
  'api_key',
  'console_session',
];

/** The audit log: who changed what, and when. */
export function AuditTab() {
  const words = useWords();
  const time = useTime();
  const named = useActor();
  const [noun, setNoun] = useState<string | null>(null);
  const [actor, setActor] = useState<string | null>(null);
  const log = useAudit(noun, actor);
  const found = log.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <Stack gap="md">
      <FilterBar label={words('system.audit-filter')}>
        <Select
          label={words('system.audit-what')}
          placeholder={words('system.all')}
          clearable
          clearButtonProps={{ 'aria-label': words('system.all') }}
          data={NOUNS.map((value) => ({ value, label: words(`system.noun.${value}`) }))}
          value={noun}
          onChange={setNoun}
        />
        <Select
          label={words('system.who')}
          placeholder={words('system.all')}
          clearable
          clearButtonProps={{ 'aria-label': words('system.all') }}
          data={ACTORS.map((value) => ({ value, label: words(`parts.actor.${value}`) }))}
          value={actor}
          onChange={setActor}
        />
      </FilterBar>
      {log.isPending && <Working />}
      {log.error && found.length === 0 && <ErrorState error={log.error} again={() => void log.refetch()} />}
      {log.data && found.length === 0 && <EmptyState title={words('system.audit-none')} />}
      {found.length > 0 && (
        <VirtualTable
          label={words('system.audit')}
          items={found}
          itemKey={({ id }) => id}
          rowHeight={44}
          minWidth={820}
          more={log.hasNextPage && !log.isFetching ? () => void log.fetchNextPage() : undefined}
          columns={[
            { key: 'at', title: words('system.when'), cell: ({ at }) => <Text size="sm">{time(at)}</Text> },
            {
              key: 'actor',
              title: words('system.who'),
              cell: ({ actor: who }) => (
                <Text size="sm" title={who}>
                  {named(who)}
                </Text>
              ),
            },
            { key: 'action', title: words('system.action'), cell: ({ action }) => <Code>{action}</Code> },
            {
              key: 'target',
              title: words('system.target'),
              cell: ({ target }) => (
                <Text size="sm" maw={240} truncate title={target}>
                  {target}
                </Text>
              ),
            },
            {
              key: 'change',
              title: words('system.change'),
              cell: ({ before, after }) =>
                changes(before, after).map((line) => (
                  <Text key={line} size="sm" maw={420} lineClamp={2} title={line}>
                    {line}
                  </Text>
                )),
            },
          ]}
        />
      )}
    </Stack>
  );
}
