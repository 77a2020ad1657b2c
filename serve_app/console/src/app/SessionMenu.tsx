import { ActionIcon, Menu, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useRef } from 'react';

import { type Session, useSignOut } from '../api/session';
import { useTime, useWords } from '../words/useWords';
import { PersonIcon } from './icons';

/** Who is signed in, until when, and the way out. */
export function SessionMenu({ session }: { session: Session }) {
  const words = useWords();
  const time = useTime();
  const signOut = useSignOut();
  const button = useRef<HTMLButtonElement>(null);
  const [opened, { open, close }] = useDisclosure();
  return (
    <Menu position="bottom-end" width={240} opened={opened} onOpen={open} onClose={close}>
      <Menu.Target>
        <ActionIcon ref={button} variant="default" size="md" aria-label={words('shell.session')}>
          <PersonIcon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown
        // Tab leaves a menu. It lies at the end of the page, so the keyboard goes on from its button.
        onKeyDown={(event) => {
          if (event.key !== 'Tab') return;
          event.preventDefault();
          close();
          button.current?.focus();
        }}
      >
        <Menu.Label>
          <Text size="sm" truncate>
            {session.name}
          </Text>
          <Text size="xs">{words('shell.until', { time: time(session.expires_at) })}</Text>
        </Menu.Label>
        <Menu.Item
          onClick={() => {
            signOut.mutate();
          }}
        >
          {words('shell.sign-out')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
