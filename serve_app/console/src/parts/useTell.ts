import { notifications } from '@mantine/notifications';

import { ApiError } from '../api/client';
import { useWords } from '../words/useWords';

/** Short notices at the edge of the page, for what happens without a place of its own. */
export function useTell() {
  const words = useWords();
  const closeButtonProps = { 'aria-label': words('parts.close') };
  return {
    done: (message: string) => {
      notifications.show({ message, color: 'teal', closeButtonProps });
    },
    failed: (error: Error) => {
      const unreachable = error instanceof ApiError && error.status === 0;
      notifications.show({
        title: words('error.title'),
        message: unreachable ? words('error.unreachable') : error.message,
        color: 'red',
        autoClose: 10_000,
        closeButtonProps,
      });
    },
  };
}
