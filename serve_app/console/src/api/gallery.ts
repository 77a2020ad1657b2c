import { useThrottledCallback } from '@mantine/hooks';
import {
  keepPreviousData,
  noop,
  queryOptions,
  useMutation,
  useQueries,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import { useCallback, useState } from 'react';

import { api, content, form } from './client';
import { useLiveEvent } from './live';
import { queries } from './queries';
import type { components } from './schema';
import { whenSignedIn } from './session';

type Schemas = components['schemas'];
export type ListedPerson = Schemas['ListedPersonAnswer'];
export type Person = Schemas['PersonAnswer'];
export type PersonPhoto = Schemas['PersonPhotoAnswer'];
export type PersonBody = Schemas['PersonBody'];
export type Deletion = Schemas['GalleryDeletionAnswer'];

/** What narrows the list; the server applies it. */
export interface PeopleFilter {
  name?: string | undefined;
  category?: string | undefined;
  gender?: 'female' | 'male' | undefined;
  least_quality?: number | undefined;
}

/** Not a topic of live events: a long list is not read again for each change. */
const LIST = 'people';
/** More than a window shows of most. */
const PAGE = 100;
/** So many people before and after those in the window are read as well. */
const AROUND = 50;
/** A list that is dragged through asks once in this time. */
const ASK_MS = 100;
/** Pages that were scrolled past are kept this long. */
const KEEP_MS = 60_000;
/** Most people that are read to be chosen together: one request changes no more. */
export const MOST_CHOSEN = 1000;

function peoplePage(filter: PeopleFilter, page: number) {
  const { name = '', category = null, gender = null, least_quality = null } = filter;
  const query = { name, category, gender, least_quality, limit: PAGE, skip: page * PAGE };
  return queryOptions({
    queryKey: [LIST, filter, page],
    queryFn: ({ signal }) => content(api.GET('/api/admin/people', { params: { query }, signal })),
    gcTime: KEEP_MS,
  });
}

/** Reads what the gallery shows first, while the code of its page is on its way. */
export function readPeopleAhead(filter: PeopleFilter): void {
  whenSignedIn(() => {
    // A failure is known to the page by the same queries.
    queries.query(peoplePage(filter, 0)).catch(noop);
    queries.query(CATEGORIES).catch(noop);
  });
}

/** The people of the gallery, by name: all of them have a place, and those near the window are read. */
export function usePeople(filter: PeopleFilter) {
  const client = useQueryClient();
  const [shown, setShown] = useState<readonly number[]>([]);
  const show = useThrottledCallback((first: number, last: number) => {
    const pages = pagesAround(first, last);
    setShown((before) => (before.join() === pages.join() ? before : pages));
  }, ASK_MS);
  // The first page also says how many there are.
  const first = useQuery({ ...peoplePage(filter, 0), placeholderData: keepPreviousData });
  const later = shown.filter((page) => page > 0);
  const pages = useQueries({ queries: later.map((page) => peoplePage(filter, page)) });
  const known = new Map(later.map((page, place) => [page, pages[place]?.data?.people]));
  return {
    total: first.data?.total ?? 0,
    error: first.error ?? pages.find(({ error }) => error !== null)?.error ?? null,
    isPending: first.isPending,
    /** Reads again what could not be read. */
    again: () => {
      for (const query of [first, ...pages]) if (query.error) void query.refetch();
    },
    at: (place: number): ListedPerson | undefined => {
      const page = Math.floor(place / PAGE);
      return (page === 0 ? first.data?.people : known.get(page))?.[place % PAGE];
    },
    /** Says which places are in the window. */
    show,
    /** The people from one place up to another, which is not included. */
    read: useCallback(
      async (start: number, end: number): Promise<ListedPerson[]> => {
        const begin = Math.floor(start / PAGE);
        const count = Math.ceil(Math.min(end, start + MOST_CHOSEN) / PAGE) - begin;
        const read = Array.from({ length: count }, (_, each) => client.query(peoplePage(filter, begin + each)));
        const people = (await Promise.all(read)).flatMap((page) => page.people);
        return people.slice(start - begin * PAGE, end - begin * PAGE).slice(0, MOST_CHOSEN);
      },
      [client, filter],
    ),
  };
}

/** The pages with the places from `first` to `last`, and with those around them. */
export function pagesAround(first: number, last: number): number[] {
  const begin = Math.floor(Math.max(0, first - AROUND) / PAGE);
  const end = Math.floor((last + AROUND) / PAGE);
  return Array.from({ length: end - begin + 1 }, (_, each) => begin + each);
}

/** A list that is no longer than this is read again whenever the gallery changes. */
const SHORT = 1000;
/** The event of a change made here comes within this time of its answer. */
const OWN_MS = 2000;
let changedHere = 0;

/** Whether the list is older than the gallery, and how to read it again. */
export function useNewer(total: number): { changed: boolean; show: () => void } {
  const client = useQueryClient();
  const [changed, setChanged] = useState(false);
  const show = () => {
    setChanged(false);
    void client.invalidateQueries({ queryKey: [LIST] });
  };
  useLiveEvent('gallery', () => {
    const own = client.isMutating({ mutationKey: CHANGE }) > 0 || Date.now() - changedHere < OWN_MS;
    if (total <= SHORT || own) show();
    // Rows that move under the pointer would be chosen by mistake.
    else setChanged(true);
  });
  return { changed, show };
}

/**
 * Tells of the chosen people who leave the gallery by somebody else's hand: deleted, or merged with another.
 *
 * @returns a function that looks again, for what an event may not have told.
 */
export function useVanished(ids: readonly string[], onVanished: (ids: string[]) => void): () => void {
  const client = useQueryClient();
  const look = () => {
    // A failure changes nothing: the next event, or the next change of these people, looks again.
    readVanished(ids).then((vanished) => {
      if (vanished.length > 0) onVanished(vanished);
    }, noop);
  };
  useLiveEvent('gallery', () => {
    // A change made here ends with what was chosen for it.
    if (client.isMutating({ mutationKey: CHANGE }) === 0) look();
  });
  return look;
}

async function readVanished(ids: readonly string[]): Promise<string[]> {
  const parts = Array.from({ length: Math.ceil(ids.length / MOST_CHOSEN) }, (_, part) =>
    ids.slice(part * MOST_CHOSEN, (part + 1) * MOST_CHOSEN),
  );
  const answers = parts.map((part) => content(api.POST('/api/admin/people/known', { body: { ids: part } })));
  const known = new Set((await Promise.all(answers)).flatMap((answer) => answer.ids));
  return ids.filter((id) => !known.has(id));
}

/** A few people whose name has this part, to choose one of them. */
export function usePeopleCalled(name: string) {
  return useQuery({
    queryKey: ['gallery', 'called', name],
    queryFn: () => content(api.GET('/api/admin/people', { params: { query: { name, limit: 20 } } })),
    enabled: name.trim() !== '',
    placeholderData: keepPreviousData,
  });
}

const CATEGORIES = queryOptions({
  queryKey: ['gallery', 'categories'],
  queryFn: () => content(api.GET('/api/admin/people/categories')),
});

export function useCategories() {
  return useQuery(CATEGORIES);
}

export function usePerson(id: string) {
  return useQuery({
    queryKey: ['gallery', 'person', id],
    queryFn: () => content(api.GET('/api/admin/people/{person_id}', { params: { path: { person_id: id } } })),
  });
}

/** The people who look most like the largest face of a photo. */
export function usePeopleLike() {
  return useMutation({
    mutationFn: async (photo: File) => {
      const asked = api.POST('/lookalikes', { params: { query: { limit: 100 } }, ...form([['file', photo]]) });
      return (await content(asked)) as Schemas['LookalikesAnswer'];
    },
  });
}

const CHANGE = ['gallery'];

/** A change of the gallery, after which everything about it is read again. */
function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationKey: CHANGE,
    mutationFn: change,
    onSuccess: () => {
      changedHere = Date.now();
      void client.invalidateQueries({ queryKey: [LIST] });
      return client.invalidateQueries({ queryKey: ['gallery'] });
    },
  });
}

export function useEditPerson(id: string) {
  return useChange((body: PersonBody) =>
    content(api.PUT('/api/admin/people/{person_id}', { params: { path: { person_id: id } }, body })),
  );
}

/** Makes others photos of the first person. */
export function useMerge() {
  return useChange(({ into, ids }: { into: string; ids: string[] }) =>
    content(
      api.POST('/api/admin/people/{person_id}/merge', { params: { path: { person_id: into } }, body: { ids } }),
    ),
  );
}

export function useSplit(id: string) {
  return useChange(({ photos, name }: { photos: string[]; name: string | null }) =>
    content(
      api.POST('/api/admin/people/{person_id}/split', {
        params: { path: { person_id: id } },
        body: { photo_ids: photos, name },
      }),
    ),
  );
}

export function useDeletePhotos(id: string) {
  return useChange((photos: string[]) =>
    content(
      api.POST('/api/admin/people/{person_id}/photos/delete', {
        params: { path: { person_id: id } },
        body: { photo_ids: photos },
      }),
    ),
  );
}

export function useDeletePeople() {
  return useChange((ids: string[]) => content(api.POST('/api/admin/people/delete', { body: { ids } })));
}

export function useUndo() {
  return useChange((id: string) =>
    content(api.POST('/api/admin/people/deletions/{deletion_id}/undo', { params: { path: { deletion_id: id } } })),
  );
}
