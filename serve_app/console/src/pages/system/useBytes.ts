import { useLocale } from '../../words/useWords';
import { inBytes } from './units';

/** A number of bytes in words of the page's language: "1.5 GB". */
export function useBytes(): (bytes: number) => string {
  const locale = useLocale();
  return (bytes) => {
    const [value, unit] = inBytes(bytes);
    return new Intl.NumberFormat(locale, { style: 'unit', unit, maximumSignificantDigits: 3 }).format(value);
  };
}
