import { useLingui } from '@lingui/react';
import { useCallback } from 'react';

import type { Language } from './index';

/** An id that data holds: `'try.title' satisfies WordId`, so that a test finds it. */
export type WordId = string;

type Values = Record<string, string | number>;

/** The sentence of an id in the language of the page when it is called, from the words.en.po and words.de.po beside the page. */
export function useWords(): (id: string, values?: Values) => string {
  const { i18n } = useLingui();
  return useCallback((id, values) => i18n._(id, values), [i18n]);
}

export function useLanguage(): Language {
  return useLingui().i18n.locale as Language;
}

/** A share 0..1 as a percentage of the page's language. */
export function usePercent(): (share: number) => string {
  const language = useLanguage();
  return (share) => new Intl.NumberFormat(language, { style: 'percent' }).format(share);
}

/** A number with the separators of the page's language. */
export function useNumber(): (value: number) => string {
  const language = useLanguage();
  return (value) => new Intl.NumberFormat(language).format(value);
}

/** A time, given as ISO 8601, as date and time of day in the reader's time zone. */
export function useTime(): (at: string) => string {
  const language = useLanguage();
  return (at) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}
