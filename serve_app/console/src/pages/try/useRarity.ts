import type { Rarity } from '../../api/faces';
import { useNumber, useWords } from '../../words/useWords';

/** How rare a similarity is, in words. */
export function useRarity(): (rarity: Rarity) => string {
  const words = useWords();
  const number = useNumber();
  return ({ one_in: oneIn, most }) => {
    if (oneIn <= 1) return words('rarity.common');
    return words(oneIn >= most ? 'rarity.at-least' : 'rarity.one-in', { number: number(oneIn) });
  };
}
