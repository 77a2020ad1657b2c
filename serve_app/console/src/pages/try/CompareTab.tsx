import { Button, FileButton, Group, SimpleGrid, Stack, Text } from '@mantine/core';

import { forget, type Photo, photoOf, useComparison } from '../../api/faces';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import classes from './CompareTab.module.css';
import { PhotoDrop } from './PhotoDrop';
import { PhotoPicture } from './PhotoPicture';
import { RequestDrawer } from './RequestDrawer';
import { usePaste } from './usePaste';
import { Verdict } from './Verdict';

export type Pair = [Photo | undefined, Photo | undefined];

interface Props {
  pair: Pair;
  onChange: (pair: Pair) => void;
}

/** Two photos: whether they show the same person, and how sure that is. */
export function CompareTab({ pair, onChange }: Props) {
  const words = useWords();
  const [a, b] = pair;
  const { data, error, isFetching, refetch } = useComparison(a, b);

  /** Fills the place that was dropped on; what is left over fills the other. */
  const take = (place: 0 | 1, files: File[]) => {
    const next: Pair = [...pair];
    for (const [file, at] of [[files[0], place] as const, [files[1], place === 0 ? 1 : 0] as const]) {
      if (file === undefined) continue;
      const before = next[at];
      if (before) forget(before);
      next[at] = photoOf(file);
    }
    onChange(next);
  };
  usePaste((files) => {
    take(a === undefined ? 0 : 1, files);
  });
  const slot = (place: 0 | 1) => (
    <Slot
      label={words(place === 0 ? 'compare.first' : 'compare.second')}
      photo={pair[place]}
      onPhotos={(files) => {
        take(place, files);
      }}
    />
  );
  return (
    <Stack gap="lg">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        {slot(0)}
        {slot(1)}
      </SimpleGrid>
      <div aria-live="polite">
        {isFetching && <Working />}
        {!isFetching && error && <ErrorState error={error} again={() => void refetch()} />}
        {data && a && b && <Verdict found={data} a={a} b={b} />}
      </div>
      {data && a && b && (
        <Group>
          <RequestDrawer
            call={{
              path: '/compare-photos',
              files: [
                { field: 'file_a', name: a.file.name },
                { field: 'file_b', name: b.file.name },
              ],
            }}
            answer={data}
          />
          <Button
            variant="subtle"
            onClick={() => {
              forget(a);
              forget(b);
              onChange([undefined, undefined]);
            }}
          >
            {words('compare.again')}
          </Button>
        </Group>
      )}
      <Text size="sm" c="dimmed" maw={720}>
        {words('compare.limits')}
      </Text>
    </Stack>
  );
}

interface SlotProps {
  label: string;
  photo: Photo | undefined;
  onPhotos: (files: File[]) => void;
}

function Slot({ label, photo, onPhotos }: SlotProps) {
  const words = useWords();
  if (photo === undefined) return <PhotoDrop label={label} multiple onPhotos={onPhotos} />;
  return (
    <Group wrap="nowrap" gap="sm">
      <div className={classes.thumbnail}>
        <PhotoPicture photo={photo} />
      </div>
      <Stack gap={4} miw={0}>
        <Text size="sm" fw={500}>
          {label}
        </Text>
        <Text size="sm" c="dimmed" truncate>
          {photo.file.name}
        </Text>
        <FileButton
          accept="image/*,.heic,.heif"
          onChange={(file) => {
            if (file) onPhotos([file]);
          }}
        >
          {(props) => (
            <Button {...props} variant="default" size="xs">
              {words('compare.other')}
            </Button>
          )}
        </FileButton>
      </Stack>
    </Group>
  );
}
