import { i18n, type Messages } from '@lingui/core';

export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = 'semblance.language';

interface Catalog {
  messages: Messages;
}

/** All catalogs of a language in one; no id is in two of them. */
function together(catalogs: Record<string, Catalog>): Messages {
  return Object.assign({}, ...Object.values(catalogs).map(({ messages }) => messages)) as Messages;
}

function isLanguage(value: string | null | undefined): value is Language {
  return value !== null && value !== undefined && value in LANGUAGES;
}

/** The language chosen before, else the browser's, else English. */
function preferred(): Language {
  const chosen = localStorage.getItem(KEY);
  if (isLanguage(chosen)) return chosen;
  const known = navigator.languages.map((tag) => tag.split('-')[0]).find(isLanguage);
  return known ?? 'en';
}

export function choose(language: Language): void {
  localStorage.setItem(KEY, language);
  activate(language);
}

function activate(language: Language): void {
  i18n.activate(language);
  document.documentElement.lang = language;
}

i18n.load({
  en: together(import.meta.glob<Catalog>('../**/words.en.po', { eager: true })),
  de: together(import.meta.glob<Catalog>('../**/words.de.po', { eager: true })),
});
activate(preferred());
