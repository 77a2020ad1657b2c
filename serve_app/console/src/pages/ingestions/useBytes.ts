import { useLanguage } from '../../words/useWords';

/** Bytes as megabytes, in the page's language. */
export function useBytes(): (bytes: number) => string {
  const language = useLanguage();
  return (bytes) =>
    new Intl.NumberFormat(language, { style: 'unit', unit: 'megabyte', maximumFractionDigits: 1 }).format(
      bytes / 1024 ** 2,
    );
}
