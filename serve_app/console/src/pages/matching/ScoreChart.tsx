import { useWords } from '../../words/useWords';
import type { Counts } from './scores';
import classes from './ScoreChart.module.css';

const HEIGHT = 100;

interface Props {
  users: Counts;
  celebrities: Counts;
  threshold: number;
}

/** How many matches have which score, of users below and of celebrities on top; those that would go are pale. */
export function ScoreChart({ users, celebrities, threshold }: Props) {
  const words = useWords();
  const bins = Math.max(users.length, 1);
  const highest = Math.max(1, ...users.map((count, bin) => count + (celebrities[bin] ?? 0)));
  const scale = (count: number) => (HEIGHT * count) / highest;
  const bar = (bin: number, from: number, count: number, series: string | undefined) =>
    count > 0 && (
      <rect
        key={`${bin} ${from}`}
        x={bin + 0.1}
        width={0.8}
        y={HEIGHT - scale(from + count)}
        height={scale(count)}
        className={series}
        data-kept={(bin + 1) / bins > threshold}
      />
    );
  return (
    <svg
      viewBox={`0 0 ${bins} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={words('matching.chart')}
      className={classes.chart}
    >
      {users.map((count, bin) => bar(bin, 0, count, classes.user))}
      {celebrities.map((count, bin) => bar(bin, users[bin] ?? 0, count, classes.celebrity))}
      <line x1={threshold * bins} x2={threshold * bins} y1={0} y2={HEIGHT} className={classes.threshold} />
    </svg>
  );
}
