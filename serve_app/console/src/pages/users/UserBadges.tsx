import { Badge, Group } from '@mantine/core';

import type { User } from '../../api/users';
import { useWords } from '../../words/useWords';

/** What is special about a user. */
export function UserBadges({ user }: { user: User }) {
  const words = useWords();
  if (user.role !== 'admin' && user.blocked_at === null) return null;
  return (
    <Group gap={6}>
      {user.role === 'admin' && (
        <Badge variant="default" tt="none">
          {words('users.role.admin')}
        </Badge>
      )}
      {user.blocked_at !== null && (
        <Badge variant="outline" color="red" tt="none">
          {words('users.blocked')}
        </Badge>
      )}
    </Group>
  );
}
