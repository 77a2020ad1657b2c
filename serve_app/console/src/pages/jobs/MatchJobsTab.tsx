import { Alert, Button, Group, SegmentedControl, Stack } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';

import { useMatchJobs, usePause, useQueue, useRetry } from '../../api/jobs';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak, moreOf } from '../../parts/LongList';
import { useTell } from '../../parts/useTell';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { MatchJobTable } from './MatchJobTable';
import { QueueFigures } from './QueueFigures';
import { STATUSES } from './search';

const route = getRouteApi('/jobs');

/** The queue of match jobs: how it is doing, and its jobs by status. */
export function MatchJobsTab() {
  const words = useWords();
  const tell = useTell();
  const { status = 'failed' } = route.useSearch();
  const navigate = route.useNavigate();
  const queue = useQueue();
  const pause = usePause();
  const retry = useRetry();
  const jobs = useMatchJobs(status);
  const found = jobs.data?.pages.flatMap((page) => page.jobs) ?? [];
  const again = (ids: string[] | null) => {
    retry.mutate(ids, {
      onSuccess: ({ retried }) => {
        tell.done(words('jobs.retried', { count: retried }));
      },
      onError: tell.failed,
    });
  };
  return (
    <Stack gap="md">
      {queue.error && !queue.data && <ErrorState error={queue.error} again={() => void queue.refetch()} />}
      {queue.data?.paused && (
        <Alert variant="default" title={words('jobs.paused')}>
          {words('jobs.paused-what')}
        </Alert>
      )}
      {queue.data && <QueueFigures queue={queue.data} />}
      <Group justify="space-between">
        <SegmentedControl
          aria-label={words('jobs.status')}
          value={status}
          onChange={(chosen) => void navigate({ search: { status: chosen } })}
          data={STATUSES.map((value) => ({ value, label: words(`jobs.status.${value}`) }))}
        />
        <Group gap="xs">
          {queue.data && (
            <Button
              variant="default"
              loading={pause.isPending}
              onClick={() => {
                pause.mutate(!queue.data.paused, { onError: tell.failed });
              }}
            >
              {words(queue.data.paused ? 'jobs.resume' : 'jobs.pause')}
            </Button>
          )}
          {status === 'failed' && (
            <Button
              disabled={found.length === 0}
              loading={retry.isPending && retry.variables === null}
              onClick={() => {
                again(null);
              }}
            >
              {words('jobs.retry-all')}
            </Button>
          )}
        </Group>
      </Group>
      {jobs.error && found.length === 0 && <ErrorState error={jobs.error} again={() => void jobs.refetch()} />}
      {jobs.isPending && <Working />}
      {jobs.data && found.length === 0 && <EmptyState title={words(`jobs.none.${status}`)} />}
      {found.length > 0 && (
        <MatchJobTable
          status={status}
          jobs={found}
          onRetry={(id) => {
            again([id]);
          }}
          more={moreOf(jobs)}
        />
      )}
      <ListBreak list={jobs} />
    </Stack>
  );
}
