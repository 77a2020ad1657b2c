import { oneOf } from '../../parts/address';

export const TABS = ['look', 'compare'] as const;

/** What an address holds; undefined: the first. */
export interface TrySearch {
  tab?: (typeof TABS)[number] | undefined;
}

/** What makes no sense in an address is left out. */
export function searchOf({ tab }: Record<string, unknown>): TrySearch {
  return { tab: oneOf(TABS, tab) };
}
