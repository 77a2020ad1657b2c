import { Anchor, Group, Text } from '@mantine/core';

import type { User } from '../../api/users';
import { Picture } from '../../parts/Picture';
import { VirtualTable } from '../../parts/VirtualTable';
import { useNumber, useTime, useWords } from '../../words/useWords';
import { ofLimit } from './filter';
import { UserBadges } from './UserBadges';
import classes from './Users.module.css';

interface Props {
  users: User[];
  /** Photos a user may upload a day; -1: no limit. */
  limit: number;
  onOpen: (id: string) => void;
  more: (() => void) | undefined;
}

/** Users, the latest to sign up first. */
export function UserTable({ users, limit, onOpen, more }: Props) {
  const words = useWords();
  const number = useNumber();
  const time = useTime();
  return (
    <VirtualTable
      label={words('users.title')}
      items={users}
      itemKey={({ id }) => id}
      rowHeight={64}
      minWidth={860}
      more={more}
      columns={[
        {
          key: 'user',
          title: words('users.user'),
          cell: (user) => (
            <Group gap="sm" wrap="nowrap">
              <div className={classes.photo}>
                {user.thumbnail_url !== null && <Picture src={user.thumbnail_url} alt="" />}
              </div>
              <div>
                <Anchor
                  component="button"
                  type="button"
                  size="sm"
                  fw={500}
                  ta="left"
                  onClick={() => {
                    onOpen(user.id);
                  }}
                >
                  {user.label}
                </Anchor>
                {user.email !== null && user.email !== user.label && (
                  <Text size="xs" c="dimmed">
                    {user.email}
                  </Text>
                )}
              </div>
            </Group>
          ),
        },
        { key: 'state', title: words('users.state'), cell: (user) => <UserBadges user={user} /> },
        { key: 'school', title: words('users.school'), cell: ({ school }) => <Text size="sm">{school ?? '–'}</Text> },
        { key: 'photos', title: words('users.photos'), align: 'right', cell: ({ photos }) => number(photos) },
        { key: 'matches', title: words('users.matches'), align: 'right', cell: ({ matches }) => number(matches) },
        {
          key: 'today',
          title: words('users.uploads'),
          align: 'right',
          cell: ({ uploads_today: used }) => ofLimit(used, limit, number),
        },
        {
          key: 'seen',
          title: words('users.seen'),
          cell: ({ last_seen: at }) => <Text size="sm">{at === null ? '–' : time(at)}</Text>,
        },
      ]}
    />
  );
}
