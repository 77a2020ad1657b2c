import { Alert, Button, Group, Modal, Stack } from '@mantine/core';
import { useCallback, useRef, useState } from 'react';

import { useWords } from '../../words/useWords';
import classes from './CameraDialog.module.css';

interface Props {
  onPhoto: (file: File) => void;
  onClose: () => void;
}

/** The camera's picture, and a button that takes it. The camera is off again when the dialog closes. */
export function CameraDialog({ opened, onPhoto, onClose }: Props & { opened: boolean }) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={words('try.camera')}
      size="lg"
      centered
      closeButtonProps={{ 'aria-label': words('try.close') }}
    >
      <Camera onPhoto={onPhoto} onClose={onClose} />
    </Modal>
  );
}

function Camera({ onPhoto, onClose }: Props) {
  const words = useWords();
  const video = useRef<HTMLVideoElement>(null);
  const [state, setState] = useState<'starting' | 'on' | 'refused'>('starting');

  const show = useCallback((element: HTMLVideoElement) => {
    video.current = element;
    let isOpen = true;
    let stream: MediaStream | undefined;
    const stop = () => {
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
    const wanted = { video: { facingMode: 'user', width: { ideal: 1920 }, height: { ideal: 1080 } } };
    navigator.mediaDevices.getUserMedia(wanted).then(
      (opened) => {
        stream = opened;
        if (isOpen) element.srcObject = opened;
        else stop();
      },
      () => {
        setState('refused');
      },
    );
    return () => {
      isOpen = false;
      stop();
    };
  }, []);

  const take = () => {
    const shown = video.current;
    if (!shown) return;
    const canvas = document.createElement('canvas');
    canvas.width = shown.videoWidth;
    canvas.height = shown.videoHeight;
    canvas.getContext('2d')?.drawImage(shown, 0, 0);
    canvas.toBlob(
      (blob) => {
        if (blob) onPhoto(new File([blob], 'camera.jpg', { type: 'image/jpeg' }));
      },
      'image/jpeg',
      0.92,
    );
  };

  return (
    <Stack>
      {state === 'refused' ? (
        <Alert variant="default">{words('try.no-camera')}</Alert>
      ) : (
        <video
          ref={show}
          className={classes.video}
          autoPlay
          playsInline
          muted
          aria-label={words('try.camera-view')}
          onLoadedData={() => {
            setState('on');
          }}
        />
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          {words('try.close')}
        </Button>
        <Button disabled={state !== 'on'} onClick={take}>
          {words('try.take')}
        </Button>
      </Group>
    </Stack>
  );
}
