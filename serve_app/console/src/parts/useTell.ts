import { type NotificationData, notifications } from '@mantine/notifications';
import { useMemo } from 'react';

import { ApiError } from '../api/client';
import { useWords } from '../words/useWords';

/** Short notices at the edge of the page, for what happens without a place of its own. */
export function useTell() {
  const words = useWords();
  return useMemo(() => {
    const show = (notice: NotificationData) => {
      notifications.show({ ...notice, closeButtonProps: { 'aria-label': words('parts.close') } });
    };
    return {
      done: (message: string) => {
        show({ message, color: 'teal' });
      },
      failed: (error: Error) => {
        const unreachable = error instanceof ApiError && error.status === 0;
        const message = unreachable ? words('error.unreachable') : error.message;
        show({ title: words('error.title'), message, color: 'red', autoClose: 10_000 });
      },
    };
  }, [words]);
}
