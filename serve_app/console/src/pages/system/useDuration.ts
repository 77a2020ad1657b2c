import { useLocale } from '../../words/useWords';
import { inTime } from './units';

/** A short duration in words of the page's language: "250 ms". */
export function useDuration(): (seconds: number) => string {
  const locale = useLocale();
  return (seconds) => {
    const [value, unit] = inTime(seconds);
    return new Intl.NumberFormat(locale, { style: 'unit', unit, maximumSignificantDigits: 2 }).format(value);
  };
}
