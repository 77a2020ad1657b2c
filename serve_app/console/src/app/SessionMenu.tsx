import { ActionIcon, Menu, Text } from '@mantine/core';

import { type Session, useSignOut } from '../api/session';
import { useTime, useWords } from '../words/useWords';
import { PersonIcon } from './icons';

/** Who is signed in, until when, and the way out. */
export function SessionMenu({ session }: { session: Session }) {
  const words = useWords();
  const time = useTime();
  const signOut = useSignOut();
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="default" size="md" aria-label={words('shell.session')}>
          <PersonIcon />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
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
