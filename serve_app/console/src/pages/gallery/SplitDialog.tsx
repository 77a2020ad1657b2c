import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';

import { type Person, useSplit } from '../../api/gallery';
import { ErrorState } from '../../parts/ErrorState';
import { useWords } from '../../words/useWords';

interface Props {
  person: Person;
  photos: string[];
  opened: boolean;
  onClose: () => void;
  /** Called with the id of the new person. */
  onDone: (id: string) => void;
}

/** Makes the chosen photos another person. */
export function SplitDialog({ opened, onClose, ...form }: Props) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={words('gallery.split')}
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      <SplitForm onClose={onClose} {...form} />
    </Modal>
  );
}

function SplitForm({ person, photos, onClose, onDone }: Omit<Props, 'opened'>) {
  const words = useWords();
  const split = useSplit(person.id);
  const [name, setName] = useState(person.name);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        split.mutate(
          { photos, name },
          {
            onSuccess: ({ id }) => {
              onClose();
              onDone(id);
            },
          },
        );
      }}
    >
      <Stack>
        <Text>{words('gallery.split-what', { count: photos.length })}</Text>
        <TextInput
          label={words('gallery.name')}
          value={name}
          required
          maxLength={100}
          data-autofocus
          onChange={(event) => {
            setName(event.currentTarget.value);
          }}
        />
        {split.error && <ErrorState error={split.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {words('parts.cancel')}
          </Button>
          <Button type="submit" loading={split.isPending}>
            {words('gallery.split')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
