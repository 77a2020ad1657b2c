import { Autocomplete, Button, Card, Group, NativeSelect, SimpleGrid, Stack, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';

import { type Person, type PersonBody, useCategories, useEditPerson } from '../../api/gallery';
import { ErrorState } from '../../parts/ErrorState';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';

const NAME_LENGTH = 100;

/** What is said of a person. It is saved by its button, for all photos. */
export function PersonForm({ person }: { person: Person }) {
  const words = useWords();
  const tell = useTell();
  const categories = useCategories();
  const save = useEditPerson(person.id);
  const { name, category, gender, bio } = person;
  // What is not changed here follows what others change meanwhile.
  const [typed, setTyped] = useState<Partial<PersonBody>>({});
  const draft: PersonBody = { name, category, gender, bio, ...typed };
  const change = (some: Partial<PersonBody>) => {
    setTyped({ ...typed, ...some });
  };
  const changed =
    draft.name !== name || draft.category !== category || draft.gender !== gender || draft.bio !== bio;
  return (
    <Card
      withBorder
      component="form"
      aria-label={words('gallery.details')}
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate(draft, {
          onSuccess: () => {
            setTyped({});
            tell.done(words('gallery.saved'));
          },
        });
      }}
    >
      <Stack gap="sm">
        <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
          <TextInput
            label={words('gallery.name')}
            value={draft.name}
            required
            maxLength={NAME_LENGTH}
            onChange={(event) => {
              change({ name: event.currentTarget.value });
            }}
          />
          <Autocomplete
            label={words('gallery.category')}
            value={draft.category ?? ''}
            maxLength={200}
            data={categories.data?.categories.map((known) => known.category) ?? []}
            onChange={(value) => {
              change({ category: value || null });
            }}
          />
          <NativeSelect
            label={words('gallery.gender')}
            value={draft.gender ?? ''}
            data={[
              { value: '', label: words('gallery.unstated') },
              { value: 'female', label: words('gallery.female') },
              { value: 'male', label: words('gallery.male') },
            ]}
            onChange={(event) => {
              change({ gender: (event.currentTarget.value || null) as 'female' | 'male' | null });
            }}
          />
        </SimpleGrid>
        <Textarea
          label={words('gallery.bio')}
          value={draft.bio ?? ''}
          autosize
          minRows={1}
          maxRows={6}
          maxLength={10_000}
          onChange={(event) => {
            change({ bio: event.currentTarget.value || null });
          }}
        />
        {save.error && <ErrorState error={save.error} />}
        <Group justify="flex-end">
          <Button type="submit" disabled={!changed} loading={save.isPending}>
            {words('gallery.save')}
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}
