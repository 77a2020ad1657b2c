import { NativeSelect } from '@mantine/core';

import { choose, LANGUAGES, type Language } from '../words';
import { useLanguage, useWords } from '../words/useWords';

export function LanguageMenu() {
  const words = useWords();
  return (
    <NativeSelect
      size="xs"
      aria-label={words('shell.language')}
      value={useLanguage()}
      data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))}
      onChange={(event) => {
        choose(event.currentTarget.value as Language);
      }}
    />
  );
}
