import { Badge, Button, Code, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';

import { type ApiKey, useApiKeys, useRevokeKey } from '../../api/system';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { ShortTable } from '../../parts/ShortTable';
import { useTell } from '../../parts/useTell';
import { Working } from '../../parts/Working';
import { useTime, useWords } from '../../words/useWords';
import { NewKeyDialog } from './NewKeyDialog';

/** API keys: made, seen, revoked. */
export function KeysTab() {
  const words = useWords();
  const tell = useTell();
  const [making, dialog] = useDisclosure();
  const [leaving, setLeaving] = useState<ApiKey | null>(null);
  const keys = useApiKeys();
  const revoke = useRevokeKey();
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={560}>
          {words('system.keys-what')}
        </Text>
        <Button onClick={dialog.open}>{words('system.new-key')}</Button>
      </Group>
      {keys.isPending && <Working />}
      {keys.error && !keys.data && <ErrorState error={keys.error} again={() => void keys.refetch()} />}
      {keys.data?.length === 0 && <EmptyState title={words('system.no-keys')}>{words('system.no-keys-what')}</EmptyState>}
      {keys.data && keys.data.length > 0 && <KeyTable keys={keys.data} onRevoke={setLeaving} />}
      <NewKeyDialog opened={making} onClose={dialog.close} />
      <ConfirmDialog
        opened={leaving !== null}
        title={words('system.revoke')}
        confirm={words('system.revoke')}
        busy={revoke.isPending}
        onClose={() => {
          setLeaving(null);
        }}
        onConfirm={() => {
          if (leaving === null) return;
          revoke.mutate(leaving.id, {
            onError: tell.failed,
            onSettled: () => {
              setLeaving(null);
            },
          });
        }}
      >
        {words('system.revoke-sure', { name: leaving?.name ?? '' })}
      </ConfirmDialog>
    </Stack>
  );
}

function KeyTable({ keys, onRevoke }: { keys: ApiKey[]; onRevoke: (key: ApiKey) => void }) {
  const words = useWords();
  const time = useTime();
  return (
    <ShortTable
      label={words('system.keys')}
      items={keys}
      itemKey={({ id }) => id}
      minWidth={680}
      columns={[
        { key: 'name', title: words('system.name'), cell: ({ name }) => name },
        { key: 'begins', title: words('system.begins'), cell: ({ prefix }) => <Code>{prefix}</Code> },
        {
          key: 'scopes',
          title: words('system.scopes'),
          cell: ({ scopes }) => (
            <Group gap={6}>
              {scopes.map((scope) => (
                <Badge key={scope} variant="default" tt="none">
                  {words(`system.scope.${scope}`)}
                </Badge>
              ))}
            </Group>
          ),
        },
        { key: 'made', title: words('system.made'), cell: ({ created_at: at }) => time(at) },
        {
          key: 'last-use',
          title: words('system.last-use'),
          cell: ({ last_used_at: at }) => (at === null ? words('system.never') : time(at)),
        },
        {
          key: 'revoke',
          title: words('system.revoke'),
          align: 'right',
          cell: (key) =>
            key.revoked_at === null ? (
              <Button
                size="xs"
                variant="default"
                aria-label={words('system.revoke-of', { name: key.name })}
                onClick={() => {
                  onRevoke(key);
                }}
              >
                {words('system.revoke')}
              </Button>
            ) : (
              <Text size="sm" c="dimmed">
                {words('system.revoked', { time: time(key.revoked_at) })}
              </Text>
            ),
        },
      ]}
    />
  );
}
