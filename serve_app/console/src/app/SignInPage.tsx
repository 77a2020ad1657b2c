import { Card, Stack } from '@mantine/core';

import { ErrorState } from '../parts/ErrorState';
import { PageTitle } from '../parts/PageTitle';
import { useWords } from '../words/useWords';
import { SignIn } from './SignIn';

/** In place of every page while nobody is signed in. */
export function SignInPage({ error }: { error: Error | null }) {
  const words = useWords();
  return (
    <Stack maw={480} mx="auto" mt={{ base: 0, sm: 'xl' }}>
      <PageTitle title={words('sign-in.title')} />
      {error && <ErrorState error={error} />}
      <Card withBorder padding="lg">
        <SignIn />
      </Card>
    </Stack>
  );
}
