import type { QueueStatistics } from '../../api/jobs';
import { useLocale, useNumber, useWords } from '../../words/useWords';
import type { Figure } from './Figures';
import { useAge } from './useAge';

/** How a queue is doing: what waits, runs and has failed. */
export function useQueueFigures(): (queue: QueueStatistics) => Figure[] {
  const words = useWords();
  const number = useNumber();
  const age = useAge();
  const oldest = (at: string | null) => at && words('jobs.oldest', { age: age(at) });
  return ({ pending, processing, failed }) => [
    { label: words('jobs.waiting'), value: number(pending.count), note: oldest(pending.oldest) },
    { label: words('jobs.running'), value: number(processing.count) },
    { label: words('jobs.failed'), value: number(failed.count), note: oldest(failed.oldest) },
  ];
}

/** Seconds in words of the page's language; a dash where there are none. */
export function useSeconds(): (value: number | null) => string {
  const format = new Intl.NumberFormat(useLocale(), {
    style: 'unit',
    unit: 'second',
    unitDisplay: 'narrow',
    maximumFractionDigits: 2,
  });
  return (value) => (value === null ? '–' : format.format(value));
}
