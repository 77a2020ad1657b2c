import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';

import { useSession } from '../../api/session';
import { useBlock, useChangeRole, type User } from '../../api/users';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import { DeleteUserDialog } from './DeleteUserDialog';

interface Props {
  user: User;
  onDeleted: () => void;
}

/** What an operator can do with somebody else's account. */
export function UserActions({ user, onDeleted }: Props) {
  const words = useWords();
  const tell = useTell();
  const session = useSession();
  const block = useBlock(user.id);
  const role = useChangeRole(user.id);
  const [asking, setAsking] = useState<'block' | 'role' | 'delete'>();
  if (session.data?.profile_id === user.id) return <Text size="sm">{words('users.own')}</Text>;
  const close = () => {
    setAsking(undefined);
  };
  const name = { name: user.label };
  const isAdmin = user.role === 'admin';
  const change = words(isAdmin ? 'users.take-admin' : 'users.make-admin');
  return (
    <Group gap="sm">
      {user.blocked_at === null ? (
        <Button
          variant="default"
          loading={block.isPending}
          onClick={() => {
            setAsking('block');
          }}
        >
          {words('users.block')}
        </Button>
      ) : (
        <Button
          variant="default"
          loading={block.isPending}
          onClick={() => {
            block.mutate(false, {
              onSuccess: () => {
                tell.done(words('users.was-unblocked', name));
              },
              onError: tell.failed,
            });
          }}
        >
          {words('users.unblock')}
        </Button>
      )}
      <Button
        variant="default"
        loading={role.isPending}
        onClick={() => {
          setAsking('role');
        }}
      >
        {change}
      </Button>
      <Button
        variant="outline"
        color="red"
        onClick={() => {
          setAsking('delete');
        }}
      >
        {words('users.delete')}
      </Button>
      <ConfirmDialog
        opened={asking === 'block'}
        title={words('users.block-who', name)}
        confirm={words('users.block')}
        onClose={close}
        onConfirm={() => {
          close();
          block.mutate(true, {
            onSuccess: () => {
              tell.done(words('users.was-blocked', name));
            },
            onError: tell.failed,
          });
        }}
      >
        {words('users.block-sure')}
      </ConfirmDialog>
      <ConfirmDialog
        opened={asking === 'role'}
        title={change}
        confirm={change}
        onClose={close}
        onConfirm={() => {
          close();
          role.mutate(isAdmin ? 'user' : 'admin', { onError: tell.failed });
        }}
      >
        {words(isAdmin ? 'users.take-admin-sure' : 'users.make-admin-sure', name)}
      </ConfirmDialog>
      <DeleteUserDialog
        user={user}
        opened={asking === 'delete'}
        onClose={close}
        onDeleted={() => {
          close();
          onDeleted();
          tell.done(words('users.was-deleted', name));
        }}
      />
    </Group>
  );
}
