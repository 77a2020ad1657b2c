import classes from './Dot.module.css';

/** How something is, by a colour beside the words that say it. */
export function Dot({ level }: { level: 'ok' | 'warn' | 'fail' }) {
  return <span className={classes.dot} data-level={level} aria-hidden="true" />;
}
