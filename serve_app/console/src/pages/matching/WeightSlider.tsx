import { ActionIcon, Slider, Text } from '@mantine/core';

import type { Factor } from '../../api/matching';
import { useLocale, useWords } from '../../words/useWords';
import { WHOLE } from './weights';
import classes from './WeightSlider.module.css';

interface Props {
  factor: Factor;
  /** In thousandths. */
  share: number;
  locked: boolean;
  movable: boolean;
  onMove: (share: number) => void;
  onSettle: () => void;
  onLock: () => void;
}

/** The weight of a factor. A locked one keeps its weight while others are moved. */
export function WeightSlider({ factor, share, locked, movable, onMove, onSettle, onLock }: Props) {
  const words = useWords();
  const locale = useLocale();
  const name = words(`try.factor.${factor}`);
  const text = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }).format(share / WHOLE);
  return (
    <div className={classes.row} role="group" aria-label={name}>
      <Text size="sm">{name}</Text>
      <Slider
        className={classes.slider}
        min={0}
        max={WHOLE}
        step={WHOLE / 100}
        value={share}
        disabled={!movable}
        label={null}
        thumbLabel={words('matching.weight-of', { factor: name })}
        thumbValueText={text}
        onChange={onMove}
        onChangeEnd={onSettle}
      />
      <Text size="sm" ta="end" className={classes.number}>
        {text}
      </Text>
      <ActionIcon
        variant={locked ? 'light' : 'subtle'}
        color={locked ? 'blue' : 'gray'}
        aria-pressed={locked}
        aria-label={words('matching.lock', { factor: name })}
        onClick={onLock}
      >
        <svg width="16" height="16" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="2" aria-hidden>
          <rect x="5" y="11" width="14" height="9" rx="2" />
          <path d={locked ? 'M8 11V8a4 4 0 0 1 8 0v3' : 'M8 11V8a4 4 0 0 1 7.5-2'} />
        </svg>
      </ActionIcon>
    </div>
  );
}
