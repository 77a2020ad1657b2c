import type { Rarity } from '../../api/faces';
import { useNumber, useWords } from '../../words/useWords';

/** How rare a similarity is, in words. */
export function useRarity(): (rarity: Rarity) => string {
  const words = useWords();
  const number = useNumber();
  return ({ one_in: oneIn }) =>
    oneIn > 1 ? words('rarity.one-in', { number: number(oneIn) }) : words('rarity.common');
}
