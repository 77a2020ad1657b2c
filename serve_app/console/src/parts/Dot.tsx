import classes from './Dot.module.css';

/** `idle` is neither good nor bad, `busy` is under way. */
export type Level = 'idle' | 'busy' | 'ok' | 'warn' | 'fail';

/** How something is, by a colour beside the words that say it. */
export function Dot({ level }: { level: Level }) {
  return <span className={classes.dot} data-level={level} aria-hidden="true" />;
}
