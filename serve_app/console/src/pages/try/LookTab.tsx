import { Stack } from '@mantine/core';

import { forget, type Photo, photoOf } from '../../api/faces';
import { useWords } from '../../words/useWords';
import { LookView } from './LookView';
import { PhotoDrop } from './PhotoDrop';
import { PhotoStrip } from './PhotoStrip';
import { usePaste } from './usePaste';

/** The photos of the tab, and the one that is looked at. */
export interface Looked {
  photos: Photo[];
  chosen: Photo | undefined;
}

interface Props {
  looked: Looked;
  onChange: (looked: Looked) => void;
}

/** Photos in, and at once what is in them and who looks like it. */
export function LookTab({ looked: { photos, chosen }, onChange }: Props) {
  const words = useWords();
  const take = (files: File[]) => {
    photos.forEach(forget);
    const taken = files.map(photoOf);
    onChange({ photos: taken, chosen: taken[0] });
  };
  usePaste(take);
  return (
    <Stack gap="lg">
      <PhotoDrop label={words('try.drop')} multiple onPhotos={take} />
      {photos.length > 1 && (
        <PhotoStrip
          photos={photos}
          chosen={chosen}
          onChoose={(next) => {
            onChange({ photos, chosen: next });
          }}
        />
      )}
      {chosen && <LookView key={chosen.id} photo={chosen} />}
    </Stack>
  );
}
