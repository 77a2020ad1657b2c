import type { RayJob } from '../../api/jobs';
import type { Level } from '../../parts/Dot';
import { StatusBadge } from '../../parts/StatusBadge';
import { useWords } from '../../words/useWords';

const LEVELS: Record<RayJob['status'], Level> = {
  pending: 'idle',
  running: 'busy',
  succeeded: 'ok',
  failed: 'fail',
  stopped: 'idle',
};

/** How a job is doing. */
export function RayJobStatus({ job: { status } }: { job: RayJob }) {
  const words = useWords();
  return <StatusBadge level={LEVELS[status]}>{words(`jobs.ray-status.${status}`)}</StatusBadge>;
}
