import { Alert } from '@mantine/core';
import { useTimeout } from '@mantine/hooks';
import { useState } from 'react';

import { useWords } from '../words/useWords';

const NOTICED_MS = 3_000;

/** Says that what is shown may be old. A loss that ends within seconds is not worth a word. */
export function ConnectionLost() {
  const words = useWords();
  const [shown, setShown] = useState(false);
  useTimeout(
    () => {
      setShown(true);
    },
    NOTICED_MS,
    { autoInvoke: true },
  );
  if (!shown) return null;
  return (
    <Alert variant="default" mb="md" role="status">
      {words('shell.lost')}
    </Alert>
  );
}
