import { Button, Group, Text } from '@mantine/core';
import { Dropzone } from '@mantine/dropzone';
import { useEffect, useRef } from 'react';

import { useWords } from '../../words/useWords';

interface Props {
  busy: boolean;
  onPhoto: (photo: File) => void;
}

/** Takes a photo that is dropped, pasted, picked or taken. */
export function PhotoDrop({ busy, onPhoto }: Props) {
  const words = useWords();
  const open = useRef<() => void>(null);
  const camera = useRef<HTMLInputElement>(null);

  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const photo = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith('image/'));
      if (photo) onPhoto(photo);
    };
    document.addEventListener('paste', paste);
    return () => {
      document.removeEventListener('paste', paste);
    };
  }, [onPhoto]);

  return (
    <Dropzone
      openRef={open}
      onDrop={([photo]) => {
        if (photo) onPhoto(photo);
      }}
      accept={['image/*']}
      multiple={false}
      loading={busy}
      activateOnClick={false}
      enablePointerEvents
    >
      <Group justify="center" mih={120} gap="md">
        <Text>{words('try.drop')}</Text>
        <Button onClick={() => open.current?.()}>{words('try.pick')}</Button>
        <Button variant="default" onClick={() => camera.current?.click()}>
          {words('try.camera')}
        </Button>
        <input
          ref={camera}
          type="file"
          accept="image/*"
          capture="user"
          hidden
          onChange={(event) => {
            const photo = event.currentTarget.files?.[0];
            if (photo) onPhoto(photo);
            event.currentTarget.value = '';
          }}
        />
      </Group>
    </Dropzone>
  );
}
