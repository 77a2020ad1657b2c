import type { InfiniteData } from '@tanstack/react-query';

import type { components } from './schema';

export type PeoplePage = components['schemas']['PeopleAnswer'];

/** The list without some people. */
export function without(list: InfiniteData<PeoplePage>, gone: ReadonlySet<string>): InfiniteData<PeoplePage> {
  const fewer = list.pages.flatMap((page) => page.people).filter(({ id }) => gone.has(id)).length;
  return {
    ...list,
    pages: list.pages.map((page) => ({
      ...page,
      people: page.people.filter(({ id }) => !gone.has(id)),
      total: page.total === null ? null : page.total - fewer,
    })),
  };
}
