import { Alert, Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';

import { useRayJobs } from '../../api/jobs';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak, moreOf } from '../../parts/LongList';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { RayJobDrawer } from './RayJobDrawer';
import { RayJobTable } from './RayJobTable';
import { StartJobDialog } from './StartJobDialog';

/** Ray jobs: started, watched, stopped. */
export function RayJobsTab() {
  const words = useWords();
  const [starting, start] = useDisclosure();
  const [chosen, setChosen] = useState<string | null>(null);
  const jobs = useRayJobs();
  const found = jobs.data?.pages.flatMap((page) => page.jobs) ?? [];
  const first = jobs.data?.pages[0];
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={560}>
          {words('jobs.ray-what')}
        </Text>
        <Group gap="sm">
          {first?.dashboard_url && (
            <Anchor href={first.dashboard_url} target="_blank" rel="noreferrer" size="sm">
              {words('jobs.dashboard')}
            </Anchor>
          )}
          <Button onClick={start.open}>{words('jobs.start')}</Button>
        </Group>
      </Group>
      {first?.problem && (
        <Alert variant="default" title={words('jobs.unknown-state')}>
          {first.problem}
        </Alert>
      )}
      {jobs.error && found.length === 0 && <ErrorState error={jobs.error} again={() => void jobs.refetch()} />}
      {jobs.isPending && <Working />}
      {jobs.data && found.length === 0 && (
        <EmptyState title={words('jobs.none.ray')}>{words('jobs.none-ray-what')}</EmptyState>
      )}
      {found.length > 0 && (
        <RayJobTable
          jobs={found}
          onOpen={setChosen}
          more={moreOf(jobs)}
        />
      )}
      <ListBreak list={jobs} />
      <StartJobDialog opened={starting} onClose={start.close} />
      <RayJobDrawer
        job={found.find(({ id }) => id === chosen)}
        onClose={() => {
          setChosen(null);
        }}
      />
    </Stack>
  );
}
