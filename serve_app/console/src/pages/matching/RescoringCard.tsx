import { Button, Card, Group, Progress, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { type Rescoring, useRescoring, useStartRescoring } from '../../api/matching';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { ErrorState } from '../../parts/ErrorState';
import { useTell } from '../../parts/useTell';
import { useNumber, useTime, useWords } from '../../words/useWords';

/** Applying the saved rules to stored matches, and how far that is. changed: the page shows others. */
export function RescoringCard({ changed }: { changed: boolean }) {
  const words = useWords();
  const tell = useTell();
  const [asking, { open, close }] = useDisclosure();
  const { data, error, refetch } = useRescoring();
  const start = useStartRescoring();
  const open_ = data?.status === 'pending' || data?.status === 'running';
  return (
    <Card withBorder component="section" aria-labelledby="rescoring">
      <Stack gap="sm">
        <Title order={2} size="h4" id="rescoring">
          {words('matching.rescoring')}
        </Title>
        <Text size="sm" c="dimmed">
          {words('matching.rescoring-what')}
        </Text>
        {error && <ErrorState error={error} again={() => void refetch()} />}
        {data && <Latest rescoring={data} />}
        <Group justify="flex-end">
          {changed && (
            <Text size="sm" c="dimmed">
              {words('matching.save-first')}
            </Text>
          )}
          <Button variant="default" disabled={changed || open_} loading={start.isPending} onClick={open}>
            {words('matching.rescore')}
          </Button>
        </Group>
      </Stack>
      <ConfirmDialog
        opened={asking}
        title={words('matching.rescore')}
        confirm={words('matching.rescore')}
        onClose={close}
        onConfirm={() => {
          close();
          start.mutate(undefined, { onError: tell.failed });
        }}
      >
        {words('matching.rescore-sure')}
      </ConfirmDialog>
    </Card>
  );
}

function Latest({ rescoring }: { rescoring: Rescoring }) {
  const words = useWords();
  const number = useNumber();
  const time = useTime();
  const { status, done, total, rescored, removed, error_message: message, completed_at: ended } = rescoring;
  const counts = { rescored: number(rescored), removed: number(removed) };
  if (status === 'pending') return <Text size="sm">{words('matching.rescoring-waits')}</Text>;
  if (status === 'running') {
    const share = total ? Math.min(100, (100 * done) / total) : 0;
    return (
      <>
        <Progress value={share} aria-label={words('matching.rescoring')} />
        <Text size="sm" role="status">
          {words('matching.rescoring-at', { done: number(done), total: number(total ?? 0) })}
        </Text>
      </>
    );
  }
  const at = ended === null ? '' : time(ended);
  return (
    <Text size="sm" role="status">
      {status === 'failed'
        ? words('matching.rescoring-failed', { time: at, message: message ?? '' })
        : words('matching.rescoring-done', { time: at, ...counts })}
    </Text>
  );
}
