import { Alert, Button, Code, Drawer, Group, Stack, Tabs, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { isOpen, type RayJob, useStopRayJob } from '../../api/jobs';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { useActor } from '../../parts/useActor';
import { useTell } from '../../parts/useTell';
import { useTime, useWords } from '../../words/useWords';
import { RayJobLogView } from './RayJobLogView';
import { RayJobProgress } from './RayJobProgress';
import { RayJobReportView } from './RayJobReportView';
import { RayJobStatus } from './RayJobStatus';

interface Props {
  /** undefined: none is looked at. */
  job: RayJob | undefined;
  onClose: () => void;
}

/** A Ray job: how it does, what it says, what it did not take. */
export function RayJobDrawer({ job, onClose }: Props) {
  const words = useWords();
  return (
    <Drawer
      opened={job !== undefined}
      onClose={onClose}
      position="right"
      size="xl"
      title={job && words(`jobs.kind.${job.kind}`)}
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      {job && <Details job={job} />}
    </Drawer>
  );
}

function Details({ job }: { job: RayJob }) {
  const words = useWords();
  const time = useTime();
  const tell = useTell();
  const named = useActor();
  const stop = useStopRayJob();
  const [asking, { open, close }] = useDisclosure();
  const running = isOpen(job);
  const reports = job.kind === 'ingest' || job.kind === 'reembed';
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <Stack gap={6}>
          <RayJobStatus job={job} />
          <RayJobProgress job={job} />
          <Text size="sm" c="dimmed">
            {words('jobs.started', { time: time(job.created_at), by: named(job.started_by) })}
          </Text>
          {job.ended_at !== null && (
            <Text size="sm" c="dimmed">
              {words('jobs.ended', { time: time(job.ended_at) })}
            </Text>
          )}
          <Text size="sm" c="dimmed">
            {words('jobs.ray-id')} <Code>{job.submission_id}</Code>
          </Text>
        </Stack>
        {running && (
          <Button variant="default" loading={stop.isPending} onClick={open}>
            {words('jobs.stop')}
          </Button>
        )}
      </Group>
      {job.message !== null && (
        <Alert variant="default" title={words('jobs.why')}>
          {job.message}
        </Alert>
      )}
      <Tabs defaultValue="log" keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="log">{words('jobs.log')}</Tabs.Tab>
          {reports && <Tabs.Tab value="report">{words('jobs.report')}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="log">
          <RayJobLogView id={job.id} live={running} />
        </Tabs.Panel>
        {reports && (
          <Tabs.Panel value="report">
            <RayJobReportView id={job.id} />
          </Tabs.Panel>
        )}
      </Tabs>
      <ConfirmDialog
        opened={asking}
        title={words('jobs.stop')}
        confirm={words('jobs.stop')}
        onClose={close}
        onConfirm={() => {
          close();
          stop.mutate(job.id, { onError: tell.failed });
        }}
      >
        {words('jobs.stop-sure')}
      </ConfirmDialog>
    </Stack>
  );
}
