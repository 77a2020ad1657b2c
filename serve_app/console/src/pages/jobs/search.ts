import type { MatchJobStatus } from '../../api/jobs';
import { oneOf } from '../../parts/address';

export const TABS = ['match', 'ray', 'texts'] as const;
export const STATUSES: readonly MatchJobStatus[] = ['failed', 'pending', 'processing', 'completed'];

/** What an address holds; undefined: the first. */
export interface JobsSearch {
  tab?: (typeof TABS)[number] | undefined;
  /** Of the match jobs that are shown. */
  status?: MatchJobStatus | undefined;
}

/** What makes no sense in an address is left out. */
export function searchOf({ tab, status }: Record<string, unknown>): JobsSearch {
  return { tab: oneOf(TABS, tab), status: oneOf(STATUSES, status) };
}
