import { Button, PasswordInput, Stack, Text } from '@mantine/core';
import { useState } from 'react';

import { useSignIn } from '../api/session';
import { CodeBlock } from '../parts/CodeBlock';
import { ErrorState } from '../parts/ErrorState';
import { useWords } from '../words/useWords';

/** The two ways in: a link of the command, or an access token of an admin. */
export function SignIn() {
  const words = useWords();
  const [token, setToken] = useState('');
  const signIn = useSignIn();
  return (
    <Stack gap="md">
      <Text>{words('sign-in.how')}</Text>
      <CodeBlock code="semblance console" />
      <Text size="sm" c="dimmed">
        {words('sign-in.once')}
      </Text>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate(token.trim());
        }}
      >
        <Stack gap="sm">
          <PasswordInput
            label={words('sign-in.token')}
            description={words('sign-in.token-what')}
            autoComplete="off"
            value={token}
            onChange={(event) => {
              setToken(event.currentTarget.value);
            }}
          />
          {signIn.isError && <ErrorState error={signIn.error} />}
          <Button type="submit" variant="default" disabled={token.trim() === ''} loading={signIn.isPending}>
            {words('sign-in.do')}
          </Button>
        </Stack>
      </form>
    </Stack>
  );
}
