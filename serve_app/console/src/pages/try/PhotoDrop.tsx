import { Button, Group, Stack, Text } from '@mantine/core';
import { Dropzone } from '@mantine/dropzone';
import { useDisclosure } from '@mantine/hooks';
import { useRef } from 'react';

import { useWords } from '../../words/useWords';
import { CameraDialog } from './CameraDialog';
import classes from './PhotoDrop.module.css';

interface Props {
  /** What the place is for. */
  label: string;
  multiple?: boolean;
  onPhotos: (files: File[]) => void;
}

/** Some browsers know the last ones by their endings alone. */
const ACCEPTED = {
  'image/*': [],
  'image/avif': ['.avif'],
  'image/heic': ['.heic', '.heif'],
  'image/tiff': ['.tif', '.tiff'],
};

/** Takes photos that are dropped, picked or taken. */
export function PhotoDrop({ label, multiple = false, onPhotos }: Props) {
  const words = useWords();
  const open = useRef<() => void>(null);
  const capture = useRef<HTMLInputElement>(null);
  const [camera, { open: openCamera, close: closeCamera }] = useDisclosure();
  return (
    <>
      <Dropzone
        openRef={open}
        onDrop={onPhotos}
        accept={ACCEPTED}
        multiple={multiple}
        activateOnClick={false}
        activateOnKeyboard={false}
        enablePointerEvents
        classNames={{ root: classes.zone ?? '' }}
        inputProps={{ 'aria-label': label }}
      >
        <Stack align="center" gap="xs" ta="center">
          <Text fw={500}>{label}</Text>
          <Group justify="center" gap="xs">
            <Button onClick={() => open.current?.()}>{words('try.pick')}</Button>
            <Button
              variant="default"
              onClick={() => {
                // Without a secure address, or without a camera of its own, the browser asks the system's camera.
                if (canShowCamera()) openCamera();
                else capture.current?.click();
              }}
            >
              {words('try.camera')}
            </Button>
          </Group>
        </Stack>
      </Dropzone>
      <input
        ref={capture}
        type="file"
        accept="image/*"
        capture="user"
        hidden
        aria-label={words('try.camera')}
        onChange={(event) => {
          onPhotos([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      <CameraDialog
        opened={camera}
        onClose={closeCamera}
        onPhoto={(file) => {
          closeCamera();
          onPhotos([file]);
        }}
      />
    </>
  );
}

function canShowCamera(): boolean {
  return 'mediaDevices' in navigator;
}
