import { useMemo, useState } from 'react';

import type { Factor, Rules, Settings } from '../../api/matching';
import { FACTORS, moved, type Shares, toShares, toWeights } from './weights';

/** In hundredths, so that they compare equal. */
const HUNDREDTHS = 100;

/** The rules on the page. move: takes a weight in thousandths; settle: the slider is let go. */
export interface Draft {
  rules: Rules;
  shares: Shares;
  locked: ReadonlySet<Factor>;
  changed: boolean;
  move: (factor: Factor, weight: number) => void;
  settle: () => void;
  toggleLock: (factor: Factor) => void;
  setThreshold: (threshold: number) => void;
  reset: () => void;
}

interface Tried {
  shares: Shares;
  /** As they were when the slider was taken: to zero and back keeps the proportions of the others. */
  taken: Shares;
  threshold: number;
}

/** What somebody tries, until it is saved or reset; else the rules in use, which others may change meanwhile. */
export function useDraft(settings: Settings | undefined): Draft | null {
  const [tried, setTried] = useState<Tried | null>(null);
  const [locked, setLocked] = useState<ReadonlySet<Factor>>(new Set());
  const current = useMemo(() => (settings ? asTried(settings) : null), [settings]);
  const shown = tried ?? current;
  const rules = useMemo(
    () => (shown ? { weights: toWeights(shown.shares), threshold: shown.threshold } : null),
    [shown],
  );
  if (!current || !shown || !rules) return null;
  return {
    rules,
    shares: shown.shares,
    locked,
    changed:
      shown.threshold !== current.threshold || FACTORS.some((factor) => shown.shares[factor] !== current.shares[factor]),
    move: (factor, weight) => {
      setTried({ ...shown, shares: moved(shown.taken, factor, weight, locked) });
    },
    settle: () => {
      setTried((latest) => latest && { ...latest, taken: latest.shares });
    },
    toggleLock: (factor) => {
      const next = new Set(locked);
      if (!next.delete(factor)) next.add(factor);
      setLocked(next);
    },
    setThreshold: (threshold) => {
      setTried({ ...shown, threshold: Math.round(threshold * HUNDREDTHS) / HUNDREDTHS });
    },
    reset: () => {
      setTried(null);
    },
  };
}

function asTried(settings: Settings): Tried {
  const shares = toShares(settings.matching_weights);
  return { shares, taken: shares, threshold: settings.match_threshold };
}
