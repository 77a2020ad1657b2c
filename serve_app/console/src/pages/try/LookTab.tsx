import { Stack } from '@mantine/core';
import { useState } from 'react';

import { forget, type Photo, photoOf } from '../../api/faces';
import { useWords } from '../../words/useWords';
import { LookView } from './LookView';
import { PhotoDrop } from './PhotoDrop';
import { PhotoStrip } from './PhotoStrip';
import { usePaste } from './usePaste';

/** Photos in, and at once what is in them and who looks like it. */
export function LookTab() {
  const words = useWords();
  const [photos, setPhotos] = useState<Photo[]>([]);
  const [chosen, setChosen] = useState<Photo>();
  const take = (files: File[]) => {
    photos.forEach(forget);
    const taken = files.map(photoOf);
    setPhotos(taken);
    setChosen(taken[0]);
  };
  usePaste(take);
  return (
    <Stack gap="lg">
      <PhotoDrop label={words('try.drop')} multiple onPhotos={take} />
      {photos.length > 1 && <PhotoStrip photos={photos} chosen={chosen} onChoose={setChosen} />}
      {chosen && <LookView key={chosen.id} photo={chosen} />}
    </Stack>
  );
}
