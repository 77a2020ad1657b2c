import { Button, Group, Modal, Stack, Text, UnstyledButton } from '@mantine/core';
import { useState } from 'react';

import { type ListedPerson, type Person, useMerge, usePeopleCalled } from '../../api/gallery';
import { ErrorState } from '../../parts/ErrorState';
import { Picture } from '../../parts/Picture';
import { SearchField } from '../../parts/SearchField';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import classes from './Card.module.css';

interface Props {
  person: Person;
  opened: boolean;
  onClose: () => void;
}

/** Finds another person by name, and makes their photos photos of this one. */
export function MergeDialog({ person, opened, onClose }: Props) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={words('gallery.merge-with')}
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      <Choice person={person} onClose={onClose} />
    </Modal>
  );
}

function Choice({ person, onClose }: Omit<Props, 'opened'>) {
  const words = useWords();
  const tell = useTell();
  const merge = useMerge();
  const [sought, setSought] = useState('');
  const [other, setOther] = useState<ListedPerson>();
  const found = usePeopleCalled(sought);
  const others = found.data?.people.filter(({ id }) => id !== person.id) ?? [];
  return (
    <Stack>
      <SearchField label={words('gallery.by-name')} value="" onSearch={setSought} />
      {found.error && <ErrorState error={found.error} />}
      {sought !== '' && found.data && others.length === 0 && <Text c="dimmed">{words('gallery.none-found')}</Text>}
      <div role="group" aria-label={words('gallery.others')}>
        {others.map((each) => (
          <UnstyledButton
            key={each.id}
            className={classes.row}
            aria-pressed={each.id === other?.id}
            onClick={() => {
              setOther(each);
            }}
          >
            <span className={classes.small}>
              <Picture src={each.thumbnail_url} alt="" />
            </span>
            <span>
              <Text component="span" display="block" size="sm">
                {each.name}
              </Text>
              <Text component="span" display="block" size="xs" c="dimmed">
                {words('gallery.photos', { count: each.photos })}
              </Text>
            </span>
          </UnstyledButton>
        ))}
      </div>
      {other && <Text size="sm">{words('gallery.merge-one', { other: other.name, name: person.name })}</Text>}
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          {words('parts.cancel')}
        </Button>
        <Button
          disabled={other === undefined}
          loading={merge.isPending}
          onClick={() => {
            if (other === undefined) return;
            merge.mutate(
              { into: person.id, ids: [other.id] },
              {
                onSuccess: ({ name }) => {
                  onClose();
                  tell.done(words('gallery.merged', { name }));
                },
                onError: tell.failed,
              },
            );
          }}
        >
          {words('gallery.merge')}
        </Button>
      </Group>
    </Stack>
  );
}
