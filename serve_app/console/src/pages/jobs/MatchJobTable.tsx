import { Button, Group, Text } from '@mantine/core';

import type { MatchJob, MatchJobStatus } from '../../api/jobs';
import { Picture } from '../../parts/Picture';
import { VirtualTable } from '../../parts/VirtualTable';
import { useTime, useWords } from '../../words/useWords';
import classes from './MatchJobTable.module.css';
import { useAge } from './useAge';

interface Props {
  status: MatchJobStatus;
  jobs: MatchJob[];
  onRetry: (id: string) => void;
  more: (() => void) | undefined;
}

/** Match jobs of a status, each with its photo and what was said of it last. */
export function MatchJobTable({ status, jobs, onRetry, more }: Props) {
  const words = useWords();
  const time = useTime();
  const age = useAge();
  const name = (job: MatchJob) => job.user_name ?? words('jobs.nameless');
  const retry = {
    key: 'retry',
    title: words('jobs.retry'),
    align: 'right' as const,
    cell: (job: MatchJob) => (
      <Button
        size="xs"
        variant="default"
        aria-label={words('jobs.retry-of', { name: name(job) })}
        onClick={() => {
          onRetry(job.id);
        }}
      >
        {words('jobs.retry')}
      </Button>
    ),
  };
  return (
    <VirtualTable
      label={words(`jobs.list.${status}`)}
      items={jobs}
      itemKey={({ id }) => id}
      rowHeight={64}
      minWidth={640}
      more={more}
      columns={[
        {
          key: 'photo',
          title: words('jobs.photo'),
          cell: (job) => (
            <Group gap="sm" wrap="nowrap">
              <div className={classes.photo}>
                <Picture src={job.picture_url} alt="" />
              </div>
              <Text size="sm" fw={500}>
                {name(job)}
              </Text>
            </Group>
          ),
        },
        {
          key: 'error',
          title: words('jobs.said'),
          cell: ({ error }) => <Text size="sm">{error ?? '–'}</Text>,
        },
        {
          key: 'attempts',
          title: words('jobs.attempts'),
          align: 'right',
          cell: ({ attempts, max_attempts: most }) => words('jobs.attempts-of', { attempts, most }),
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
        ...(status === 'failed' ? [retry] : []),
      ]}
    />
  );
}
