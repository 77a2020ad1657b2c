import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';

import { type Deletion, useUndo } from '../../api/gallery';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';

/** Says what was deleted, and takes it back while that is possible. */
export function useTellDeleted(): (deletion: Deletion) => void {
  const words = useWords();
  const tell = useTell();
  const undo = useUndo();
  return ({ deletion_id: id, photos, undo_until: until }) => {
    notifications.show({
      id,
      autoClose: Math.max(1000, new Date(until).getTime() - Date.now()),
      closeButtonProps: { 'aria-label': words('parts.close') },
      message: (
        <Group justify="space-between" wrap="nowrap">
          <Text size="sm">{words('gallery.deleted', { count: photos })}</Text>
          <Button
            size="xs"
            variant="default"
            onClick={() => {
              notifications.hide(id);
              // What asked for the deletion may be gone from the page by now.
              undo.mutateAsync(id).then((restored) => {
                tell.done(words('gallery.restored', { count: restored.photos }));
              }, tell.failed);
            }}
          >
            {words('gallery.undo')}
          </Button>
        </Group>
      ),
    });
  };
}
