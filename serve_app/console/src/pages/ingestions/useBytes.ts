import { useLocale } from '../../words/useWords';

/** Bytes as megabytes, in the page's language. */
export function useBytes(): (bytes: number) => string {
  const locale = useLocale();
  return (bytes) =>
    new Intl.NumberFormat(locale, { style: 'unit', unit: 'megabyte', maximumFractionDigits: 1 }).format(
      bytes / 1024 ** 2,
    );
}
