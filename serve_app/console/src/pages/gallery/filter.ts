import type { PeopleFilter } from '../../api/gallery';
import { oneOf, textOf } from '../../parts/address';

/** Qualities to choose from, as lowest values. */
export const QUALITIES = [0.5, 0.6, 0.7, 0.8, 0.9];

/** The filter that an address holds; what makes no sense in it is left out. */
export function filterOf(search: Record<string, unknown>): PeopleFilter {
  const { name, category, gender, least_quality: quality } = search;
  return {
    name: textOf(name),
    category: textOf(category),
    gender: oneOf(['female', 'male'], gender),
    least_quality: QUALITIES.find((known) => known === Number(quality)),
  };
}

/** Whether it narrows the list at all. */
export function isNarrow(filter: PeopleFilter): boolean {
  return Object.values(filter).some((value) => value !== undefined);
}
