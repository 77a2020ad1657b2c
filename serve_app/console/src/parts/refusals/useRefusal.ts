import { useCallback } from 'react';

import { ApiError } from '../../client/errors';
import { useLanguage, useWords } from '../../words/useWords';
import { type Refused, tell, type Told } from './refusals';

/** Tells a refusal in the language of the page; of another error what it says itself. */
export function useRefusal(): (error: Error | Refused) => Told {
  const words = useWords();
  const language = useLanguage();
  return useCallback(
    (error) => {
      if (error instanceof Error && !(error instanceof ApiError)) return { text: error.message, own: undefined };
      return tell(error, language, words);
    },
    [language, words],
  );
}
