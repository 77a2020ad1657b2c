import { Anchor, Text } from '@mantine/core';

import type { RayJob } from '../../api/jobs';
import { useActor } from '../../parts/useActor';
import { VirtualTable } from '../../parts/VirtualTable';
import { useTime, useWords } from '../../words/useWords';
import { RayJobProgress } from './RayJobProgress';
import { RayJobStatus } from './RayJobStatus';
import { useAge } from './useAge';

interface Props {
  jobs: RayJob[];
  onOpen: (id: string) => void;
  more: (() => void) | undefined;
}

/** Ray jobs, the latest first. */
export function RayJobTable({ jobs, onOpen, more }: Props) {
  const words = useWords();
  const time = useTime();
  const age = useAge();
  const named = useActor();
  return (
    <VirtualTable
      label={words('jobs.list.ray')}
      items={jobs}
      itemKey={({ id }) => id}
      rowHeight={56}
      minWidth={720}
      more={more}
      columns={[
        {
          key: 'kind',
          title: words('jobs.job'),
          cell: ({ id, kind, arguments: given }) => (
            <>
              <Anchor
                component="button"
                type="button"
                size="sm"
                fw={500}
                onClick={() => {
                  onOpen(id);
                }}
              >
                {words(`jobs.kind.${kind}`)}
              </Anchor>
              <Text size="xs" c="dimmed" truncate maw={280}>
                {shown(given)}
              </Text>
            </>
          ),
        },
        { key: 'status', title: words('jobs.status'), cell: (job) => <RayJobStatus job={job} /> },
        { key: 'progress', title: words('jobs.progress'), cell: (job) => <RayJobProgress job={job} /> },
        {
          key: 'by',
          title: words('jobs.started-by'),
          cell: ({ started_by: by }) => (
            <Text size="sm" truncate maw={160} title={by}>
              {named(by)}
            </Text>
          ),
        },
        {
          key: 'age',
          title: words('jobs.age'),
          cell: ({ created_at: at }) => (
            <Text size="sm" title={time(at)}>
              {age(at)}
            </Text>
          ),
        },
      ]}
    />
  );
}

/** Options that say something; where the report goes is of no interest. */
function shown(given: string[]): string {
  return given.filter((argument) => argument !== '--' && !argument.startsWith('--report=')).join(' ');
}
