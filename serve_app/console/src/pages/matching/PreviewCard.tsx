import { Card, Group, Loader, Tabs, Text, Title } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';

import { type Rules, usePreview } from '../../api/matching';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { useNumber, useWords } from '../../words/useWords';
import { ChangesView } from './ChangesView';
import { celebrityChange, type Lists, userChange } from './changes';

const PAUSE_MS = 300;

/** What rules would change in the lists of matches, with examples. rules: null while none are tried. */
export function PreviewCard({ rules }: { rules: Rules | null }) {
  const words = useWords();
  const [asked] = useDebouncedValue(rules, PAUSE_MS);
  const preview = usePreview(rules && asked);
  const busy = rules !== null && (preview.isFetching || asked !== rules);
  return (
    <Card withBorder component="section" aria-labelledby="preview" aria-busy={busy}>
      <Group justify="space-between" mih={28} mb="xs">
        <Title order={2} size="h4" id="preview">
          {words('matching.preview')}
        </Title>
        {busy && <Loader size="sm" role="status" aria-label={words('matching.computing')} />}
      </Group>
      {rules === null && <EmptyState title={words('matching.untouched')}>{words('matching.untouched-what')}</EmptyState>}
      {rules && preview.error && <ErrorState error={preview.error} again={() => void preview.refetch()} />}
      {rules && !preview.data && !preview.error && <Working label={words('matching.computing')} />}
      {rules && preview.data && !preview.error && (
        <>
          <ListTabs
            lists={[
              { kind: 'users', of: preview.data.user_matches, read: userChange(preview.data.user_matches) },
              {
                kind: 'celebrities',
                of: preview.data.celebrity_matches,
                read: celebrityChange(preview.data.celebrity_matches),
              },
            ]}
          />
          <Text size="sm" c="dimmed" mt="md">
            {words('matching.unknown')}
          </Text>
        </>
      )}
    </Card>
  );
}

interface Shown {
  kind: 'users' | 'celebrities';
  of: { before: number; after: number; appear: number; vanish: number; move: number };
  read: Lists;
}

function ListTabs({ lists }: { lists: [Shown, Shown] }) {
  const words = useWords();
  const number = useNumber();
  const changes = ({ of }: Shown) => of.appear + of.vanish + of.move;
  const fuller = changes(lists[0]) === 0 && changes(lists[1]) > 0 ? lists[1] : lists[0];
  return (
    <Tabs defaultValue={fuller.kind} keepMounted={false}>
      <Tabs.List mb="md">
        {lists.map((list) => (
          <Tabs.Tab key={list.kind} value={list.kind}>
            {words(`matching.of.${list.kind}`, { count: number(changes(list)) })}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {lists.map(({ kind, of, read }) => (
        <Tabs.Panel key={kind} value={kind}>
          <Text size="sm" mb="sm">
            {words('matching.listed', { before: number(of.before), after: number(of.after) })}
          </Text>
          <ChangesView counts={of} lists={read} />
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
