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

/** What the browser offers to choose. Some know the last ones by their endings alone. */
const OFFERED = 'image/*,.avif,.heic,.heif,.tif,.tiff';

/** Takes photos that are dropped, picked or taken. Of a file that is no photo the service says so. */
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
        multiple={multiple}
        activateOnClick={false}
        activateOnKeyboard={false}
        enablePointerEvents
        classNames={{ root: classes.zone ?? '' }}
        inputProps={{ accept: OFFERED, 'aria-label': label }}
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
