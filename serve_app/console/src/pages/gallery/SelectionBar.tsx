import { Button, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { type ListedPerson, useDeletePeople, useMerge } from '../../api/gallery';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import { useTellDeleted } from './useTellDeleted';
import type { Selection } from './useSelection';

/** The most that one request changes. */
const MOST = 1000;

/** What can be done with the people who are chosen. */
export function SelectionBar({ selection, people }: { selection: Selection; people: ListedPerson[] }) {
  const words = useWords();
  const tell = useTell();
  const tellDeleted = useTellDeleted();
  const remove = useDeletePeople();
  const merge = useMerge();
  const [asking, { open, close }] = useDisclosure();
  const { ids, all, clear } = selection;
  const chosen = people.filter(({ id }) => ids.includes(id));
  // The one with the most photos keeps the name.
  const into = [...chosen].sort((a, b) => b.photos - a.photos)[0];
  if (ids.length === 0 || into === undefined) {
    return (
      <Button variant="default" size="xs" onClick={all}>
        {words('gallery.select-all')}
      </Button>
    );
  }
  return (
    <Group gap="xs">
      <Text size="sm">{words('gallery.selected', { count: ids.length })}</Text>
      <Button variant="default" size="xs" onClick={clear}>
        {words('gallery.select-none')}
      </Button>
      <Button variant="default" size="xs" disabled={ids.length < 2 || ids.length > MOST} onClick={open}>
        {words('gallery.merge')}
      </Button>
      <Button
        color="red"
        size="xs"
        disabled={ids.length > MOST}
        loading={remove.isPending}
        onClick={() => {
          // Also when nobody is left, and this bar with them.
          void remove.mutateAsync(ids).then((deletion) => {
            clear();
            tellDeleted(deletion);
          }, tell.failed);
        }}
      >
        {words('gallery.delete')}
      </Button>
      <ConfirmDialog
        opened={asking}
        title={words('gallery.merge')}
        confirm={words('gallery.merge')}
        onClose={close}
        onConfirm={() => {
          close();
          const others = ids.filter((id) => id !== into.id);
          merge.mutate(
            { into: into.id, ids: others },
            {
              onSuccess: ({ name }) => {
                clear();
                tell.done(words('gallery.merged', { name }));
              },
              onError: tell.failed,
            },
          );
        }}
      >
        {words('gallery.merge-sure', { count: ids.length, name: into.name })}
      </ConfirmDialog>
    </Group>
  );
}
