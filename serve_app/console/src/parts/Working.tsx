import { Center, Loader } from '@mantine/core';

import { useWords } from '../words/useWords';

/** While something is fetched that the page cannot do without. */
export function Working({ label }: { label?: string }) {
  const words = useWords();
  return (
    <Center mih={160} role="status" aria-label={label ?? words('parts.working')}>
      <Loader />
    </Center>
  );
}
