import { Code, Select, Stack, Text } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';

import { useAudit } from '../../api/system';
import { oneOf } from '../../parts/address';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { FilterBar } from '../../parts/FilterBar';
import { ListBreak, moreOf } from '../../parts/LongList';
import { ACTORS, useActor } from '../../parts/useActor';
import { VirtualTable } from '../../parts/VirtualTable';
import { Working } from '../../parts/Working';
import { useTime, useWords } from '../../words/useWords';
import classes from './AuditTab.module.css';
import { changes } from './changes';
import { NOUNS, type SystemSearch } from './search';

const route = getRouteApi('/system');

/** The audit log: who changed what, and when. */
export function AuditTab() {
  const words = useWords();
  const time = useTime();
  const named = useActor();
  const { what, who } = route.useSearch();
  const navigate = route.useNavigate();
  const narrow = (changed: SystemSearch) => void navigate({ search: { tab: 'audit', what, who, ...changed } });
  const log = useAudit(what ?? null, who ?? null);
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
          value={what ?? null}
          onChange={(chosen) => {
            narrow({ what: oneOf(NOUNS, chosen) });
          }}
        />
        <Select
          label={words('system.who')}
          placeholder={words('system.all')}
          clearable
          clearButtonProps={{ 'aria-label': words('system.all') }}
          data={ACTORS.map((value) => ({ value, label: words(`parts.actor.${value}`) }))}
          value={who ?? null}
          onChange={(chosen) => {
            narrow({ who: oneOf(ACTORS, chosen) });
          }}
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
          more={moreOf(log)}
          columns={[
            {
              key: 'at',
              title: words('system.when'),
              cell: ({ at }) => (
                <Text size="sm" miw="max-content">
                  {time(at)}
                </Text>
              ),
            },
            {
              key: 'actor',
              title: words('system.who'),
              cell: ({ actor }) => (
                <Text size="sm" title={actor}>
                  {named(actor)}
                </Text>
              ),
            },
            { key: 'action', title: words('system.action'), cell: ({ action }) => <Code>{action}</Code> },
            {
              key: 'target',
              title: words('system.target'),
              cell: ({ target }) => (
                <Text size="sm" maw={160} truncate title={target}>
                  {target}
                </Text>
              ),
            },
            {
              key: 'change',
              title: words('system.change'),
              cell: ({ before, after }) =>
                changes(before, after, time).map((line) => (
                  <Text key={line} size="sm" maw={420} lineClamp={2} className={classes.change} title={line}>
                    {line}
                  </Text>
                )),
            },
          ]}
        />
      )}
      <ListBreak list={log} />
    </Stack>
  );
}
