import { Badge, Button, Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';

import { useSession } from '../../api/session';
import { type ConsoleSession, useConsoleSessions, useEndSession } from '../../api/system';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak } from '../../parts/LongList';
import { ShortTable } from '../../parts/ShortTable';
import { useTell } from '../../parts/useTell';
import { Working } from '../../parts/Working';
import { useTime, useWords } from '../../words/useWords';

/** Who is signed in to the console. There is always one session: that of the reader. */
export function SessionsTab() {
  const words = useWords();
  const tell = useTell();
  const [ending, setEnding] = useState<ConsoleSession | null>(null);
  const sessions = useConsoleSessions();
  const end = useEndSession();
  const found = sessions.data?.pages.flatMap((page) => page.sessions) ?? [];
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed" maw={560}>
        {words('system.sessions-what')}
      </Text>
      {sessions.isPending && <Working />}
      {sessions.error && found.length === 0 && (
        <ErrorState error={sessions.error} again={() => void sessions.refetch()} />
      )}
      {found.length > 0 && <SessionTable sessions={found} onEnd={setEnding} />}
      <ListBreak list={sessions} />
      {sessions.hasNextPage && !sessions.isFetchNextPageError && (
        <Group justify="center">
          <Button variant="default" loading={sessions.isFetchingNextPage} onClick={() => void sessions.fetchNextPage()}>
            {words('system.more')}
          </Button>
        </Group>
      )}
      <ConfirmDialog
        opened={ending !== null}
        title={words('system.end')}
        confirm={words('system.end')}
        busy={end.isPending}
        onClose={() => {
          setEnding(null);
        }}
        onConfirm={() => {
          if (ending === null) return;
          end.mutate(ending.id, {
            onError: tell.failed,
            onSettled: () => {
              setEnding(null);
            },
          });
        }}
      >
        {words('system.end-sure', { name: ending?.name ?? '' })}
      </ConfirmDialog>
    </Stack>
  );
}

function SessionTable({ sessions, onEnd }: { sessions: ConsoleSession[]; onEnd: (session: ConsoleSession) => void }) {
  const words = useWords();
  const time = useTime();
  const own = useSession().data?.id;
  return (
    <ShortTable
      label={words('system.sessions')}
      items={sessions}
      itemKey={({ id }) => id}
      minWidth={620}
      columns={[
        {
          key: 'who',
          title: words('system.who'),
          cell: ({ id, name, profile_id: profile }) => (
            <Group gap="xs">
              <Text size="sm">{profile === null ? words('system.by-link') : name}</Text>
              {id === own && (
                <Badge variant="default" tt="none">
                  {words('system.this-session')}
                </Badge>
              )}
            </Group>
          ),
        },
        { key: 'began', title: words('system.began'), cell: ({ created_at: at }) => time(at) },
        { key: 'last-use', title: words('system.last-use'), cell: ({ last_used_at: at }) => time(at) },
        { key: 'until', title: words('system.until'), cell: ({ expires_at: at }) => time(at) },
        {
          key: 'end',
          title: words('system.end'),
          align: 'right',
          cell: (session) => (
            <Button
              size="xs"
              variant="default"
              aria-label={words('system.end-of', { time: time(session.created_at) })}
              onClick={() => {
                onEnd(session);
              }}
            >
              {words('system.end')}
            </Button>
          ),
        },
      ]}
    />
  );
}
