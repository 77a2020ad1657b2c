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

/** The page's language as the reader's region writes it, such as en-GB: its order of dates, its separators. */
export function useLocale(): string {
  const language = useLanguage();
  return navigator.languages.find((tag) => tag.split('-')[0] === language) ?? language;
}

/** A share 0..1 as a percentage of the page's language. */
export function usePercent(): (share: number) => string {
  const locale = useLocale();
  return (share) => new Intl.NumberFormat(locale, { style: 'percent' }).format(share);
}

/** A number with the separators of the page's language. */
export function useNumber(): (value: number) => string {
  const locale = useLocale();
  return (value) => new Intl.NumberFormat(locale).format(value);
}

/** A time, given as ISO 8601, as date and time of day in the reader's time zone. */
export function useTime(): (at: string) => string {
  const locale = useLocale();
  return (at) => new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}
