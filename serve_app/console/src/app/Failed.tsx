import { Anchor, Button, Stack, Text } from '@mantine/core';
import { type ErrorComponentProps, Link } from '@tanstack/react-router';

import { ErrorState } from '../parts/ErrorState';
import { PageTitle } from '../parts/PageTitle';
import { useWords } from '../words/useWords';

/** In place of a page that broke. */
export function Failed({ error, reset }: ErrorComponentProps) {
  const words = useWords();
  return (
    <Stack align="flex-start" maw={640}>
      <ErrorState error={error instanceof Error ? error : new Error(String(error))} />
      <Text>{words('shell.failed')}</Text>
      <Button onClick={reset}>{words('shell.again')}</Button>
    </Stack>
  );
}

/** In place of a page that there is not. */
export function NotFound() {
  const words = useWords();
  return (
    <Stack>
      <PageTitle title={words('shell.not-found')} />
      <Anchor component={Link} to="/">
        {words('shell.to-start')}
      </Anchor>
    </Stack>
  );
}
