import { Card, SimpleGrid, Text } from '@mantine/core';

import type { Queue } from '../../api/jobs';
import { useLanguage, useNumber, useWords } from '../../words/useWords';
import classes from './QueueFigures.module.css';
import { useAge } from './useAge';

/** The queue at a glance. */
export function QueueFigures({ queue }: { queue: Queue }) {
  const words = useWords();
  const number = useNumber();
  const age = useAge();
  const language = useLanguage();
  const { pending, processing, failed, average_total_seconds: seconds } = queue.statistics;
  const duration = (value: number) =>
    new Intl.NumberFormat(language, { style: 'unit', unit: 'second', maximumFractionDigits: 2 }).format(value);
  const figures = [
    [words('jobs.waiting'), number(pending.count), pending.oldest && words('jobs.oldest', { age: age(pending.oldest) })],
    [words('jobs.running'), number(processing.count), null],
    [words('jobs.failed'), number(failed.count), failed.oldest && words('jobs.oldest', { age: age(failed.oldest) })],
    [
      words('jobs.last-hour'),
      number(queue.completed_last_hour),
      words('jobs.failed-last-hour', { count: number(queue.failed_last_hour) }),
    ],
    [words('jobs.duration'), seconds === null ? '–' : duration(seconds), words('jobs.duration-what')],
  ] as const;
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 5 }} spacing="sm" component="dl" className={classes.figures}>
      {figures.map(([label, value, note]) => (
        <Card key={label} withBorder padding="sm">
          <Text component="dt" size="sm" c="dimmed">
            {label}
          </Text>
          <dd className={classes.figure}>
            <Text component="span" size="xl" fw={600} className={classes.value}>
              {value}
            </Text>
            <Text component="span" size="sm" c="dimmed" display="block" mih={20}>
              {note}
            </Text>
          </dd>
        </Card>
      ))}
    </SimpleGrid>
  );
}
