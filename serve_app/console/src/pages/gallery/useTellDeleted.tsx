import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useCallback, useEffect } from 'react';

import { ApiError } from '../../api/client';
import { type Deletion, useUndo } from '../../api/gallery';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import { forgetDeletion, keepDeletion, keptDeletions, type KeptDeletion, made, timeLeft } from './deletions';

/** Says what was deleted, and takes it back while that is possible, also after the page was loaded again. */
export function useTellDeleted(): (deletion: Deletion) => void {
  const words = useWords();
  const tell = useTell();
  const { mutateAsync: undo } = useUndo();
  const show = useCallback(
    function show(deletion: KeptDeletion) {
      const { deletion_id: id, photos } = deletion;
      const takeBack = async () => {
        notifications.hide(id);
        try {
          const restored = await undo(id);
          tell.done(words('gallery.restored', { count: restored.photos }));
        } catch (error) {
          tell.failed(error as Error);
          // What failed, as without a network, may succeed while there is time.
          if (error instanceof ApiError && error.status === 404) return;
          keepDeletion(deletion);
          if (timeLeft(deletion) > 0) show(deletion);
        }
      };
      // A notice that is shown already stays as it is.
      notifications.show({
        id,
        autoClose: Math.max(1000, timeLeft(deletion)),
        onClose: () => {
          forgetDeletion(id);
        },
        closeButtonProps: { 'aria-label': words('parts.close') },
        message: (
          <Group justify="space-between" wrap="nowrap">
            <Text size="sm">{words('gallery.deleted', { count: photos })}</Text>
            <Button
              size="xs"
              variant="default"
              // What asked for the deletion may be gone from the page by now.
              onClick={() => void takeBack()}
            >
              {words('gallery.undo')}
            </Button>
          </Group>
        ),
      });
    },
    [words, tell, undo],
  );
  useEffect(() => {
    for (const deletion of keptDeletions()) show(deletion);
  }, [show]);
  return (answered) => {
    const deletion = made(answered);
    keepDeletion(deletion);
    show(deletion);
  };
}
