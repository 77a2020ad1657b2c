import { oneOf } from '../../parts/address';

export const TABS = ['upload', 'server'] as const;

/** What an address holds; undefined: the first. */
export interface AddSearch {
  tab?: (typeof TABS)[number] | undefined;
}

/** What makes no sense in an address is left out. */
export function searchOf({ tab }: Record<string, unknown>): AddSearch {
  return { tab: oneOf(TABS, tab) };
}
