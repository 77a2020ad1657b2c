import { Button, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { type Deletion, type ListedPerson, MOST_CHOSEN, useDeletePeople, useMerge } from '../../api/gallery';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { useTell } from '../../parts/useTell';
import { useNumber, useWords } from '../../words/useWords';
import type { Selection } from './useSelection';

interface Props {
  selection: Selection<ListedPerson>;
  /** Of the list. */
  total: number;
  onDeleted: (deletion: Deletion) => void;
  /** Called when a change of the chosen people has failed. */
  onFailed: () => void;
}

/** What can be done with the people who are chosen. */
export function SelectionBar({ selection, total, onDeleted, onFailed }: Props) {
  const words = useWords();
  const number = useNumber();
  const tell = useTell();
  const remove = useDeletePeople();
  const merge = useMerge();
  const [asking, { open, close }] = useDisclosure();
  const { chosen, all, clear } = selection;
  const ids = chosen.map(({ id }) => id);
  const failed = (error: Error) => {
    tell.failed(error);
    onFailed();
  };
  // The one with the most photos keeps the name.
  const into = [...chosen].sort((a, b) => b.photos - a.photos)[0];
  if (into === undefined) {
    return (
      <Button
        variant="default"
        size="xs"
        onClick={() => {
          all(Math.min(total, MOST_CHOSEN)).catch(tell.failed);
        }}
      >
        {total <= MOST_CHOSEN
          ? words('gallery.select-all')
          : words('gallery.select-first', { count: number(MOST_CHOSEN) })}
      </Button>
    );
  }
  return (
    <Group gap="xs">
      <Text size="sm">{words('gallery.selected', { count: ids.length })}</Text>
      <Button variant="default" size="xs" onClick={clear}>
        {words('gallery.select-none')}
      </Button>
      <Button variant="default" size="xs" disabled={ids.length < 2 || ids.length > MOST_CHOSEN} onClick={open}>
        {words('gallery.merge')}
      </Button>
      <Button
        color="red"
        size="xs"
        disabled={ids.length > MOST_CHOSEN}
        loading={remove.isPending}
        onClick={() => {
          // Also when nobody is left, and this bar with them.
          void remove.mutateAsync(ids).then((deletion) => {
            clear();
            onDeleted(deletion);
          }, failed);
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
              onError: failed,
            },
          );
        }}
      >
        {words('gallery.merge-sure', { count: ids.length, name: into.name })}
      </ConfirmDialog>
    </Group>
  );
}
