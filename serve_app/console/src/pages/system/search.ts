import { oneOf } from '../../parts/address';
import { ACTORS } from '../../parts/useActor';

export const TABS = ['overview', 'keys', 'sessions', 'audit'] as const;

/** What the audit log tells changes of. */
export const NOUNS = [
  'settings',
  'rescoring',
  'user',
  'profile',
  'person',
  'gallery',
  'ingestion',
  'job',
  'job_queue',
  'ray_job',
  'pack',
  'school',
  'api_key',
  'console_session',
] as const;

/** What an address holds; undefined: the first tab, and all of the audit log. */
export interface SystemSearch {
  tab?: (typeof TABS)[number] | undefined;
  what?: (typeof NOUNS)[number] | undefined;
  who?: (typeof ACTORS)[number] | undefined;
}

/** What makes no sense in an address is left out. */
export function searchOf({ tab, what, who }: Record<string, unknown>): SystemSearch {
  return { tab: oneOf(TABS, tab), what: oneOf(NOUNS, what), who: oneOf(ACTORS, who) };
}
