import { Badge, Button, Code, Group, Stack, Table, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';

import { type ApiKey, useApiKeys, useRevokeKey } from '../../api/system';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
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
    <Table.ScrollContainer minWidth={680}>
      <Table aria-label={words('system.keys')} verticalSpacing="xs" highlightOnHover>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{words('system.name')}</Table.Th>
            <Table.Th>{words('system.begins')}</Table.Th>
            <Table.Th>{words('system.scopes')}</Table.Th>
            <Table.Th>{words('system.made')}</Table.Th>
            <Table.Th>{words('system.last-use')}</Table.Th>
            <Table.Th ta="right">{words('system.revoke')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((key) => (
            <Table.Tr key={key.id}>
              <Table.Td>{key.name}</Table.Td>
              <Table.Td>
                <Code>{key.prefix}</Code>
              </Table.Td>
              <Table.Td>
                <Group gap={6}>
                  {key.scopes.map((scope) => (
                    <Badge key={scope} variant="default" tt="none">
                      {words(`system.scope.${scope}`)}
                    </Badge>
                  ))}
                </Group>
              </Table.Td>
              <Table.Td>{time(key.created_at)}</Table.Td>
              <Table.Td>{key.last_used_at === null ? words('system.never') : time(key.last_used_at)}</Table.Td>
              <Table.Td ta="right">
                {key.revoked_at === null ? (
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
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
