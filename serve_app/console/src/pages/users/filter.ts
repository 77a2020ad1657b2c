import type { UserFilter } from '../../api/users';
import { oneOf, textOf } from '../../parts/address';

/** What an address holds: the filter, and the id of the user who is looked at. */
export interface UsersSearch extends UserFilter {
  user?: string | undefined;
}

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** What makes no sense in an address is left out. */
export function searchOf({ search, role, blocked, user }: Record<string, unknown>): UsersSearch {
  return {
    search: textOf(search),
    role: oneOf(['admin', 'user'], role),
    blocked: typeof blocked === 'boolean' ? blocked : undefined,
    user: typeof user === 'string' && UUID.test(user) ? user : undefined,
  };
}

/** Whether it narrows the list at all. */
export function isNarrow({ search, role, blocked }: UserFilter): boolean {
  return search !== undefined || role !== undefined || blocked !== undefined;
}

/** How much of a daily limit is used: "3 / 20", or "3" where there is no limit. */
export function ofLimit(used: number, limit: number, number: (value: number) => string): string {
  return limit < 0 ? number(used) : `${number(used)} / ${number(limit)}`;
}
