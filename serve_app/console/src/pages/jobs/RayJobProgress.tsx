import { Progress, Text } from '@mantine/core';

import { isOpen, type RayJob } from '../../api/jobs';
import { useNumber, useWords } from '../../words/useWords';

/** How far a job is, as it told itself. */
export function RayJobProgress({ job }: { job: RayJob }) {
  const { kind, done, total } = job;
  const words = useWords();
  const number = useNumber();
  if (total === null && done === 0) return <Text size="sm">–</Text>;
  return (
    <>
      <Text size="sm">
        {total === null
          ? number(done)
          : words('jobs.done-of', { done: number(done), total: number(total) })}
      </Text>
      {isOpen(job) && total !== null && (
        <Progress value={total > 0 ? (100 * done) / total : 0} aria-label={words(`jobs.kind.${kind}`)} mt={4} />
      )}
    </>
  );
}
