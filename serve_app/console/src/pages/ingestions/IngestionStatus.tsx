import type { Ingestion } from '../../api/ingestions';
import type { Level } from '../../parts/Dot';
import { StatusBadge } from '../../parts/StatusBadge';
import { useWords } from '../../words/useWords';

const LEVELS: Record<Ingestion['state'], Level> = {
  receiving: 'idle',
  running: 'busy',
  review: 'warn',
  done: 'ok',
  failed: 'fail',
};

/** How an ingestion is doing. */
export function IngestionStatus({ state }: { state: Ingestion['state'] }) {
  const words = useWords();
  return <StatusBadge level={LEVELS[state]}>{words(`ingestions.state.${state}`)}</StatusBadge>;
}
