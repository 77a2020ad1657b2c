import { Alert, Button, Group, Progress, Stack, Text, TextInput } from '@mantine/core';
import { Dropzone } from '@mantine/dropzone';
import { useRef, useState } from 'react';

import { useUpload } from '../../api/ingestions';
import { ErrorState } from '../../parts/ErrorState';
import { useNumber, useWords } from '../../words/useWords';
import { sorted } from './choice';
import classes from './UploadForm.module.css';
import { useBytes } from './useBytes';

interface Props {
  /** Of one picture, and of a part of an archive. */
  partBytes: number;
  /** Of all files. */
  mostBytes: number;
  onStarted: (id: string) => void;
}

/** Takes pictures, folders and ZIP archives, shows how much is uploaded, and starts the ingestion. */
export function UploadForm({ partBytes, mostBytes, onStarted }: Props) {
  const words = useWords();
  const number = useNumber();
  const bytes = useBytes();
  const openFiles = useRef<() => void>(null);
  const folder = useRef<HTMLInputElement | null>(null);
  const [chosen, setChosen] = useState<File[]>([]);
  const [category, setCategory] = useState('');
  const upload = useUpload();
  const { files, left, size } = sorted(chosen, partBytes);
  // The same list until it changes: after a failure the upload goes on with it.
  const [sending, setSending] = useState<File[]>([]);
  const busy = upload.isPending;
  const add = (more: File[]) => {
    setChosen((before) => [...before, ...more]);
    setSending([]);
    upload.reset();
  };
  const send = () => {
    const list = sending.length > 0 ? sending : files;
    setSending(list);
    upload.mutate(
      { files: list, category: category.trim() || null, partBytes },
      {
        onSuccess: ({ id }) => {
          onStarted(id);
        },
      },
    );
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Stack>
        <Dropzone
          openRef={openFiles}
          onDrop={add}
          disabled={busy}
          activateOnClick={false}
          activateOnKeyboard={false}
          enablePointerEvents
          classNames={{ root: classes.zone ?? '' }}
          inputProps={{ 'aria-label': words('ingestions.drop') }}
        >
          <Stack align="center" gap="xs" ta="center">
            <Text fw={500}>{words('ingestions.drop')}</Text>
            <Text size="sm" c="dimmed" maw={460}>
              {words('ingestions.drop-what')}
            </Text>
            <Group justify="center" gap="xs">
              <Button disabled={busy} onClick={() => openFiles.current?.()}>
                {words('ingestions.pick')}
              </Button>
              <Button variant="default" disabled={busy} onClick={() => folder.current?.click()}>
                {words('ingestions.pick-folder')}
              </Button>
            </Group>
          </Stack>
        </Dropzone>
        <input
          ref={(input) => {
            input?.setAttribute('webkitdirectory', '');
            folder.current = input;
          }}
          type="file"
          multiple
          hidden
          aria-label={words('ingestions.pick-folder')}
          onChange={(event) => {
            add([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = '';
          }}
        />
        {chosen.length > 0 && (
          <Group justify="space-between">
            <Text role="status">
              {words('ingestions.chosen', { count: files.length, files: number(files.length), size: bytes(size) })}
            </Text>
            <Button
              variant="default"
              size="xs"
              disabled={busy}
              onClick={() => {
                setChosen([]);
                setSending([]);
                upload.reset();
              }}
            >
              {words('ingestions.clear')}
            </Button>
          </Group>
        )}
        {left.length > 0 && (
          <Alert variant="default" title={words('ingestions.left-out', { count: left.length })}>
            {words('ingestions.left-out-what', { size: bytes(partBytes) })}
            <Text size="sm" c="dimmed" truncate>
              {left.map((file) => file.name).join(', ')}
            </Text>
          </Alert>
        )}
        {size > mostBytes && (
          <Alert variant="default" title={words('ingestions.too-much')}>
            {words('ingestions.too-much-what', { size: bytes(mostBytes) })}
          </Alert>
        )}
        <TextInput
          label={words('ingestions.category')}
          description={words('ingestions.category-what')}
          value={category}
          maxLength={200}
          disabled={busy}
          onChange={(event) => {
            setCategory(event.currentTarget.value);
          }}
        />
        {busy && (
          <Stack gap={4}>
            <Progress
              value={size > 0 ? (100 * upload.sent) / size : 0}
              aria-label={words('ingestions.uploading')}
            />
            <Text size="sm" c="dimmed">
              {words('ingestions.uploaded-of', { done: bytes(upload.sent), total: bytes(size) })}
            </Text>
          </Stack>
        )}
        {upload.error && <ErrorState error={upload.error} again={send} />}
        <Group justify="flex-end">
          <Button type="submit" loading={busy} disabled={files.length === 0 || size > mostBytes}>
            {words('ingestions.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
