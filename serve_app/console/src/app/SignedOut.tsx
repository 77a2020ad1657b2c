import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useState } from 'react';

import { queries } from '../api/queries';
import { useWords } from '../words/useWords';
import { SignIn } from './SignIn';

/** Over the page when the session has ended: what was typed stays, and goes on after signing in. */
export function SignedOut({ opened }: { opened: boolean }) {
  const words = useWords();
  const [asked, setAsked] = useState(false);
  return (
    <Modal
      opened={opened}
      onClose={() => undefined}
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
      title={words('sign-in.ended')}
    >
      <Stack>
        <Text>{words('sign-in.kept')}</Text>
        <SignIn />
        <Group justify="flex-end">
          <Button
            loading={asked}
            onClick={() => {
              setAsked(true);
              // What was refused meanwhile is asked for again.
              void queries.invalidateQueries().finally(() => {
                setAsked(false);
              });
            }}
          >
            {words('sign-in.done')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
