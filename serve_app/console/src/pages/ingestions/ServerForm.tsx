import { Button, Code, Group, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';

import { useIngestFrom } from '../../api/ingestions';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { useWords } from '../../words/useWords';

interface Props {
  /** Below these, folders and buckets may be named. */
  roots: string[];
  onStarted: (id: string) => void;
}

const SETTING = 'SEMBLANCE_INGEST_ROOTS';

/** Names a folder, manifest or bucket that the server reads. */
export function ServerForm({ roots, onStarted }: Props) {
  const words = useWords();
  const ingest = useIngestFrom();
  const [source, setSource] = useState(roots[0] ?? '');
  const [category, setCategory] = useState('');
  if (roots.length === 0) {
    return (
      <EmptyState title={words('ingestions.no-roots')}>
        <Text c="dimmed">
          {words('ingestions.no-roots-what')} <Code>{SETTING}</Code>
        </Text>
      </EmptyState>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        ingest.mutate(
          { source: source.trim(), category: category.trim() || null },
          {
            onSuccess: ({ id }) => {
              onStarted(id);
            },
          },
        );
      }}
    >
      <Stack>
        <TextInput
          label={words('ingestions.source')}
          description={words('ingestions.source-what', { roots: roots.join(', ') })}
          value={source}
          required
          maxLength={4096}
          onChange={(event) => {
            setSource(event.currentTarget.value);
          }}
        />
        <TextInput
          label={words('ingestions.category')}
          description={words('ingestions.category-what')}
          value={category}
          maxLength={200}
          onChange={(event) => {
            setCategory(event.currentTarget.value);
          }}
        />
        {ingest.error && <ErrorState error={ingest.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={ingest.isPending} disabled={source.trim() === ''}>
            {words('ingestions.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
