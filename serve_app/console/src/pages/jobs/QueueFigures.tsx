import type { Queue } from '../../api/jobs';
import { useNumber, useWords } from '../../words/useWords';
import { Figures } from './Figures';
import { useQueueFigures, useSeconds } from './useQueueFigures';

/** The queue of match jobs at a glance. */
export function QueueFigures({ queue }: { queue: Queue }) {
  const words = useWords();
  const number = useNumber();
  const figures = useQueueFigures();
  const seconds = useSeconds();
  return (
    <Figures
      figures={[
        ...figures(queue.statistics),
        {
          label: words('jobs.last-hour'),
          value: number(queue.completed_last_hour),
          note: words('jobs.failed-last-hour', { count: number(queue.failed_last_hour) }),
        },
        {
          label: words('jobs.duration'),
          value: seconds(queue.statistics.average_total_seconds),
          note: words('jobs.duration-what'),
        },
      ]}
    />
  );
}
