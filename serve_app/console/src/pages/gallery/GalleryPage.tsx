import { Affix, Alert, Button, Group, Stack, Text } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useState } from 'react';

import { useNewer, usePeople, usePeopleLike, useVanished } from '../../api/gallery';
import { isTyping } from '../../parts/address';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { PageTitle } from '../../parts/PageTitle';
import { useTell } from '../../parts/useTell';
import { VirtualGrid } from '../../parts/VirtualGrid';
import { Working } from '../../parts/Working';
import { useNumber, useWords } from '../../words/useWords';
import { isNarrow } from './filter';
import { GalleryFilters } from './GalleryFilters';
import { CAPTION_PX, CARD_PX, PersonCard } from './PersonCard';
import { PhotoSearch } from './PhotoSearch';
import { SelectionBar } from './SelectionBar';
import { useSelection } from './useSelection';
import { useTellDeleted } from './useTellDeleted';

const route = getRouteApi('/gallery');

/** The people whom faces are compared with: found by name, filter or photo, and put in order. */
export function GalleryPage() {
  const words = useWords();
  const number = useNumber();
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const like = usePeopleLike();
  const [photo, setPhoto] = useState<File>();
  const people = usePeople(filter);
  const { total } = people;
  const newer = useNewer(total);
  const selection = useSelection(people.read);
  const { toggle } = selection;
  const tell = useTell();
  const tellDeleted = useTellDeleted();
  const select = useCallback(
    (...chosen: Parameters<typeof toggle>) => {
      toggle(...chosen).catch(tell.failed);
    },
    [toggle, tell],
  );
  const ids = selection.chosen.map(({ id }) => id);
  const lookAgain = useVanished(ids, (vanished) => {
    selection.drop(vanished);
    tell.done(words('gallery.vanished', { count: vanished.length }));
  });
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <PageTitle title={words('gallery.title')} purpose={words('gallery.purpose')} />
        <Group gap="xs">
          <Button component="a" variant="default" href="/api/admin/gallery/export" download>
            {words('gallery.export')}
          </Button>
          <Button component={Link} to="/gallery/add">
            {words('ingestions.title')}
          </Button>
        </Group>
      </Group>
      <GalleryFilters
        filter={filter}
        onChange={(changed) => void navigate({ search: changed, replace: isTyping(filter.name, changed.name) })}
        onPhoto={(file) => {
          setPhoto(file);
          like.mutate(file);
        }}
      />
      {photo && (
        <PhotoSearch
          photo={photo}
          search={like}
          onClose={() => {
            setPhoto(undefined);
            like.reset();
          }}
        />
      )}
      {newer.changed && (
        <Alert variant="default">
          <Group justify="space-between">
            <Text>{words('gallery.changed')}</Text>
            <Button size="xs" variant="default" onClick={newer.show}>
              {words('gallery.show-changes')}
            </Button>
          </Group>
        </Alert>
      )}
      {people.error && total === 0 && <ErrorState error={people.error} again={people.again} />}
      {people.isPending && <Working />}
      {!people.isPending && (total > 0 || !people.error) && (
        <Group justify="space-between" mih={36}>
          <Text size="sm" c="dimmed" role="status">
            {words('gallery.count', { count: total, shown: number(total) })}
          </Text>
          {total > 0 && <SelectionBar selection={selection} total={total} onDeleted={tellDeleted} onFailed={lookAgain} />}
        </Group>
      )}
      {!people.isPending && !people.error && total === 0 && (
        <EmptyState title={words(isNarrow(filter) ? 'gallery.none-found' : 'gallery.none')}>
          {words(isNarrow(filter) ? 'gallery.none-found-what' : 'gallery.none-what')}
        </EmptyState>
      )}
      {total > 0 && (
        <VirtualGrid
          label={words('gallery.title')}
          count={total}
          cellWidth={CARD_PX}
          captionHeight={CAPTION_PX}
          at={people.at}
          onShown={people.show}
        >
          {(person, place) => (
            <PersonCard
              key={person.id}
              person={person}
              place={place}
              selected={selection.has(person.id)}
              onSelect={select}
            />
          )}
        </VirtualGrid>
      )}
      {people.error && total > 0 && (
        <Affix position={{ bottom: 16, left: 16 }}>
          <ErrorState error={people.error} again={people.again} />
        </Affix>
      )}
    </Stack>
  );
}
