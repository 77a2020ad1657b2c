import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';

import { useWords } from '../words/useWords';

export function SchemeSwitch() {
  const words = useWords();
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  return (
    <ActionIcon
      variant="default"
      size="md"
      aria-label={words(dark ? 'shell.light' : 'shell.dark')}
      onClick={() => {
        setColorScheme(dark ? 'light' : 'dark');
      }}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" />
        <path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" />
      </svg>
    </ActionIcon>
  );
}
