import { Progress, Text } from '@mantine/core';

import type { RayJob } from '../../api/jobs';
import { useNumber, useWords } from '../../words/useWords';

/** How far a job is, as it told itself. */
export function RayJobProgress({ job: { kind, status, done, total } }: { job: RayJob }) {
  const words = useWords();
  const number = useNumber();
  if (total === null && done === 0) return <Text size="sm">–</Text>;
  const open = status === 'running' || status === 'pending';
  return (
    <>
      <Text size="sm">
        {total === null
          ? number(done)
          : words('jobs.done-of', { done: number(done), total: number(total) })}
      </Text>
      {open && total !== null && (
        <Progress value={total > 0 ? (100 * done) / total : 0} aria-label={words(`jobs.kind.${kind}`)} mt={4} />
      )}
    </>
  );
}
