import { useLanguage } from '../../words/useWords';
import { inBytes } from './units';

/** A number of bytes in words of the page's language: "1.5 GB". */
export function useBytes(): (bytes: number) => string {
  const language = useLanguage();
  return (bytes) => {
    const [value, unit] = inBytes(bytes);
    return new Intl.NumberFormat(language, { style: 'unit', unit, maximumSignificantDigits: 3 }).format(value);
  };
}
