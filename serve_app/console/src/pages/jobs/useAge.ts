import { useEffect, useState } from 'react';

import { useLocale } from '../../words/useWords';
import { inUnit } from './age';

const TICK_MS = 10_000;

/** How long ago a time (ISO 8601) is, in words of the page's language: "3 minutes". It grows while it is shown. */
export function useAge(): (at: string) => string {
  const locale = useLocale();
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const ticking = setInterval(() => {
      setNow(Date.now());
    }, TICK_MS);
    return () => {
      clearInterval(ticking);
    };
  }, []);
  return (at) => {
    const [value, unit] = inUnit((now - Date.parse(at)) / 1000);
    return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(value);
  };
}
