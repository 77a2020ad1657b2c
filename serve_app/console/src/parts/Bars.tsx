import { Text } from '@mantine/core';

import { usePercent } from '../words/useWords';
import classes from './Bars.module.css';

interface Bar {
  label: string;
  /** 0..1. */
  share: number;
  /** What stands at the end of the bar; the share as a percentage unless given. */
  text?: string;
}

/** Shares beside each other, as bars and as numbers. */
export function Bars({ bars }: { bars: Bar[] }) {
  const percent = usePercent();
  return (
    <dl className={classes.bars}>
      {bars.map(({ label, share, text }) => (
        <div key={label} className={classes.row}>
          <Text component="dt" size="sm">
            {label}
          </Text>
          <svg className={classes.bar} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
            <rect width="100" height="8" className={classes.track} />
            <rect width={100 * Math.min(1, Math.max(0, share))} height="8" className={classes.share} />
          </svg>
          <Text component="dd" size="sm" ta="end" className={classes.text}>
            {text ?? percent(share)}
          </Text>
        </div>
      ))}
    </dl>
  );
}
