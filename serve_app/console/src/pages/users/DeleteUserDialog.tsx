import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';

import { useDeleteUser, type User } from '../../api/users';
import { ErrorState } from '../../parts/ErrorState';
import { useWords } from '../../words/useWords';

interface Props {
  user: User;
  opened: boolean;
  onClose: () => void;
  onDeleted: () => void;
}

/** Asks for the name, because nothing brings a deleted user back. */
export function DeleteUserDialog({ user, opened, onClose, onDeleted }: Props) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={words('users.delete-who', { name: user.label })}
      centered
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      <DeleteForm user={user} onClose={onClose} onDeleted={onDeleted} />
    </Modal>
  );
}

function DeleteForm({ user, onClose, onDeleted }: Omit<Props, 'opened'>) {
  const words = useWords();
  const remove = useDeleteUser(user.id);
  const [typed, setTyped] = useState('');
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        // Also when a live event has taken the user off the page before the answer came. The form tells of an error.
        void remove.mutateAsync(typed).then(onDeleted, () => undefined);
      }}
    >
      <Stack>
        <Text>{words('users.delete-sure')}</Text>
        <TextInput
          label={words('users.type-name', { name: user.label })}
          value={typed}
          data-autofocus
          autoComplete="off"
          onChange={(event) => {
            setTyped(event.currentTarget.value);
          }}
        />
        {remove.error && <ErrorState error={remove.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {words('parts.cancel')}
          </Button>
          <Button type="submit" color="red" disabled={typed !== user.label} loading={remove.isPending}>
            {words('users.delete')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
