import { Badge } from '@mantine/core';

import type { RayJob } from '../../api/jobs';
import { useWords } from '../../words/useWords';
import classes from './RayJobStatus.module.css';

/** How a job is doing, in a word and a colour. */
export function RayJobStatus({ job: { status } }: { job: RayJob }) {
  const words = useWords();
  return (
    <Badge variant="default" size="lg" tt="none" leftSection={<span className={classes.dot} data-status={status} />}>
      {words(`jobs.ray-status.${status}`)}
    </Badge>
  );
}
