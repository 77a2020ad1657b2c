import { type NotificationData, notifications } from '@mantine/notifications';
import { createElement, useMemo } from 'react';

import { useWords } from '../words/useWords';
import { Refusal } from './refusals/Refusal';

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
        const message = createElement(Refusal, { error });
        show({ title: words('error.title'), message, color: 'red', autoClose: 10_000 });
      },
    };
  }, [words]);
}
