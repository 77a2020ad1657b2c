import { Badge } from '@mantine/core';

import type { Ingestion } from '../../api/ingestions';
import { useWords } from '../../words/useWords';
import classes from './IngestionStatus.module.css';

/** How an ingestion is doing, in a word and a colour. */
export function IngestionStatus({ state }: { state: Ingestion['state'] }) {
  const words = useWords();
  return (
    <Badge variant="default" size="lg" tt="none" leftSection={<span className={classes.dot} data-state={state} />}>
      {words(`ingestions.state.${state}`)}
    </Badge>
  );
}
