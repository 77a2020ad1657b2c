import type { PeopleFilter } from '../../api/gallery';

/** Qualities to choose from, as lowest values. */
export const QUALITIES = [0.5, 0.6, 0.7, 0.8, 0.9];

/** The filter that an address holds; what makes no sense in it is left out. */
export function filterOf(search: Record<string, unknown>): PeopleFilter {
  const { name, category, gender, least_quality: quality } = search;
  return {
    name: text(name),
    category: text(category),
    gender: gender === 'female' || gender === 'male' ? gender : undefined,
    least_quality: QUALITIES.find((known) => known === Number(quality)),
  };
}

function text(value: unknown): string | undefined {
  const said = typeof value === 'number' ? String(value) : value;
  return typeof said === 'string' && said.trim() !== '' && said.length <= 200 ? said : undefined;
}

/** Whether it narrows the list at all. */
export function isNarrow(filter: PeopleFilter): boolean {
  return Object.values(filter).some((value) => value !== undefined);
}
