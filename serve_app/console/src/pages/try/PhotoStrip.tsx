import { Text, UnstyledButton } from '@mantine/core';

import { type Photo, type PhotoResult, useOverview } from '../../api/faces';
import { ErrorState } from '../../parts/ErrorState';
import { useRefusal } from '../../parts/refusals/useRefusal';
import { useWords } from '../../words/useWords';
import classes from './LookalikeStrip.module.css';
import { PhotoPicture } from './PhotoPicture';

interface Props {
  photos: Photo[];
  chosen: Photo | undefined;
  onChoose: (photo: Photo) => void;
}

/** Several photos beside each other, with how many faces each has, or what is wrong with it. */
export function PhotoStrip({ photos, chosen, onChoose }: Props) {
  const words = useWords();
  const refused = useRefusal();
  const { data: results, error, refetch } = useOverview(photos);
  const said = (result: PhotoResult | undefined) => {
    if (result === undefined) return error ? '' : words('parts.working');
    if (result.error) return refused({ code: result.error.code, message: result.error.error }).text;
    return words('try.faces', { count: result.faces?.length ?? 0 });
  };
  return (
    <section aria-label={words('try.photos')}>
      <ul className={classes.strip}>
        {photos.map((photo) => (
          <li key={photo.id} className={classes.card}>
            <UnstyledButton
              className={classes.button}
              aria-pressed={photo === chosen}
              onClick={() => {
                onChoose(photo);
              }}
            >
              <PhotoPicture photo={photo} />
              <Text component="span" display="block" size="sm" fw={500} mt={6} truncate>
                {photo.file.name}
              </Text>
              <Text component="span" display="block" size="xs" c="dimmed" lineClamp={2}>
                {said(results?.get(photo.id))}
              </Text>
            </UnstyledButton>
          </li>
        ))}
      </ul>
      {error && <ErrorState error={error} again={() => void refetch()} />}
    </section>
  );
}
