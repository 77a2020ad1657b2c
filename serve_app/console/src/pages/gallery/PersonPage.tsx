import { Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback } from 'react';

import { type Person, useDeletePeople, useDeletePhotos, usePerson } from '../../api/gallery';
import { ErrorState } from '../../parts/ErrorState';
import { PageTitle } from '../../parts/PageTitle';
import { useTell } from '../../parts/useTell';
import { VirtualGrid } from '../../parts/VirtualGrid';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { MergeDialog } from './MergeDialog';
import { CAPTION_PX, CARD_PX } from './PersonCard';
import { PersonForm } from './PersonForm';
import { PhotoCard } from './PhotoCard';
import { SplitDialog } from './SplitDialog';
import { useSelection } from './useSelection';
import { useTellDeleted } from './useTellDeleted';

const route = getRouteApi('/gallery/$personId');

/** A person of the gallery: photos and details, both of which can be changed. */
export function PersonPage() {
  const words = useWords();
  const { personId } = route.useParams();
  const person = usePerson(personId);
  return (
    <Stack gap="md" maw={1400}>
      <Anchor component={Link} to="/gallery" size="sm">
        {words('gallery.back')}
      </Anchor>
      {person.isPending && <Working />}
      {person.error && <ErrorState error={person.error} again={() => void person.refetch()} />}
      {person.data && !person.error && <Details key={person.data.id} person={person.data} />}
    </Stack>
  );
}

function Details({ person }: { person: Person }) {
  const words = useWords();
  const tell = useTell();
  const tellDeleted = useTellDeleted();
  const navigate = route.useNavigate();
  const remove = useDeletePeople();
  const removePhotos = useDeletePhotos(person.id);
  const [merging, merge] = useDisclosure();
  const [splitting, split] = useDisclosure();
  const { photos } = person;
  const read = useCallback((start: number, end: number) => Promise.resolve(photos.slice(start, end)), [photos]);
  const { chosen, has, toggle, clear } = useSelection(read);
  // Those that are gone, as by somebody else, are chosen no longer.
  const ids = chosen.map(({ id }) => id).filter((id) => photos.some((photo) => photo.id === id));
  const leave = () => void navigate({ to: '/gallery' });
  return (
    <>
      <Group justify="space-between" align="flex-start">
        <PageTitle title={person.name} purpose={words('gallery.photos', { count: person.total })} />
        <Group gap="xs">
          <Button variant="default" onClick={merge.open}>
            {words('gallery.merge-with')}
          </Button>
          <Button
            color="red"
            loading={remove.isPending}
            onClick={() => {
              // Also when a live event has taken the person, and this component, off the page before the answer came.
              void remove.mutateAsync([person.id]).then((deletion) => {
                tellDeleted(deletion);
                leave();
              }, tell.failed);
            }}
          >
            {words('gallery.delete-person')}
          </Button>
        </Group>
      </Group>
      <PersonForm person={person} />
      <Group justify="space-between" mih={36}>
        <Text size="sm" c="dimmed">
          {words('gallery.select-photos')}
        </Text>
        {ids.length > 0 && (
          <Group gap="xs">
            <Text size="sm">{words('gallery.selected', { count: ids.length })}</Text>
            <Button size="xs" variant="default" onClick={clear}>
              {words('gallery.select-none')}
            </Button>
            <Button size="xs" variant="default" disabled={ids.length === person.total} onClick={split.open}>
              {words('gallery.split')}
            </Button>
            <Button
              size="xs"
              color="red"
              loading={removePhotos.isPending}
              onClick={() => {
                void removePhotos.mutateAsync(ids).then((deletion) => {
                  clear();
                  tellDeleted(deletion);
                  if (deletion.people > 0) leave();
                }, tell.failed);
              }}
            >
              {words('gallery.delete-photos')}
            </Button>
          </Group>
        )}
      </Group>
      <VirtualGrid
        label={words('gallery.photos-of', { name: person.name })}
        count={photos.length}
        total={person.total}
        cellWidth={CARD_PX}
        captionHeight={CAPTION_PX}
        at={(place) => photos[place]}
      >
        {(photo, place) => (
          <PhotoCard
            key={photo.id}
            photo={photo}
            place={place + 1}
            selected={has(photo.id)}
            onSelect={(range) => void toggle(place, photo, range)}
          />
        )}
      </VirtualGrid>
      <MergeDialog person={person} opened={merging} onClose={merge.close} />
      <SplitDialog
        person={person}
        photos={ids}
        opened={splitting}
        onClose={split.close}
        onDone={(id) => {
          clear();
          void navigate({ to: '/gallery/$personId', params: { personId: id } });
        }}
      />
    </>
  );
}
