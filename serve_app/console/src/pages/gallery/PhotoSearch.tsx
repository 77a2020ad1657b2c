import { Button, Card, Group, Stack, Text, Title } from '@mantine/core';
import { Link } from '@tanstack/react-router';

import type { usePeopleLike } from '../../api/gallery';
import { ErrorState } from '../../parts/ErrorState';
import { Picture } from '../../parts/Picture';
import { Working } from '../../parts/Working';
import { usePercent, useWords } from '../../words/useWords';
import classes from './Card.module.css';

interface Props {
  photo: File;
  search: ReturnType<typeof usePeopleLike>;
  onClose: () => void;
}

/** The people most like the face in a photo, above the gallery. */
export function PhotoSearch({ photo, search, onClose }: Props) {
  const words = useWords();
  const percent = usePercent();
  return (
    <Card withBorder component="section" aria-labelledby="like-photo">
      <Stack gap="sm">
        <Group justify="space-between" wrap="nowrap">
          <Title order={2} size="h4" id="like-photo">
            {words('gallery.like', { photo: photo.name })}
          </Title>
          <Button variant="default" size="xs" flex="none" onClick={onClose}>
            {words('parts.close')}
          </Button>
        </Group>
        {search.isPending && <Working />}
        {search.error && <ErrorState error={search.error} />}
        {search.data?.matches.length === 0 && <Text>{words('gallery.like-nobody')}</Text>}
        {search.data && (
          <ul className={classes.strip}>
            {search.data.matches.map(({ person_id: id, name, similarity, thumbnail_url: picture }) => (
              <li key={id}>
                <Link to="/gallery/$personId" params={{ personId: id }} className={classes.link}>
                  <Picture src={picture} alt="" />
                  <Text component="span" display="block" size="sm" mt={4} truncate>
                    {name}
                  </Text>
                  <Text component="span" display="block" size="xs" c="dimmed">
                    {words('gallery.similar', { percent: percent(Math.max(0, similarity)) })}
                  </Text>
                </Link>
              </li>
            ))}
          </ul>
        )}
      </Stack>
    </Card>
  );
}
