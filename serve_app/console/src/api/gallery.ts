import {
  type InfiniteData,
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import { useState } from 'react';

import { api, content, form } from './client';
import { useLiveEvent } from './live';
import { type PeoplePage, without } from './people';
import type { components } from './schema';

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

/** Not a topic of live events: a list of many pages is not read again for each change. */
const LIST = 'people';
/** More than a window shows; the first page is what somebody waits for. */
const FIRST_PAGE = 80;
const PAGE = 400;
const FEW_PAGES = 3;
const FIRST: string | null = null;

/** The people of the gallery, by name, page by page. */
export function usePeople(filter: PeopleFilter) {
  const { name = '', category = null, gender = null, least_quality = null } = filter;
  const narrow = { name, category, gender, least_quality };
  return useInfiniteQuery({
    queryKey: [LIST, filter],
    queryFn: ({ pageParam: cursor, signal }) => {
      const limit = cursor === FIRST ? FIRST_PAGE : PAGE;
      return content(api.GET('/api/admin/people', { params: { query: { ...narrow, limit, cursor } }, signal }));
    },
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
    placeholderData: keepPreviousData,
  });
}

/** Whether the list is older than the gallery, and how to read it again. A short list is read again by itself. */
export function useNewer(pages: number): { changed: boolean; show: () => void } {
  const client = useQueryClient();
  const [changed, setChanged] = useState(false);
  const show = () => {
    setChanged(false);
    void client.resetQueries({ queryKey: [LIST] });
  };
  useLiveEvent('gallery', () => {
    if (pages > FEW_PAGES) setChanged(true);
    else void client.invalidateQueries({ queryKey: [LIST] });
  });
  return { changed, show };
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

export function useCategories() {
  return useQuery({
    queryKey: ['gallery', 'categories'],
    queryFn: () => content(api.GET('/api/admin/people/categories')),
  });
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

/** A change of the gallery, after which everything about it is read again; the list as live events say. */
function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => client.invalidateQueries({ queryKey: ['gallery'] }),
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

/** Deletes people; they leave the list at once. */
export function useDeletePeople() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (ids: string[]) => content(api.POST('/api/admin/people/delete', { body: { ids } })),
    onSuccess: (_, ids) => {
      const gone = new Set(ids);
      client.setQueriesData<InfiniteData<PeoplePage>>({ queryKey: [LIST] }, (list) => list && without(list, gone));
      return client.invalidateQueries({ queryKey: ['gallery'] });
    },
  });
}

export function useUndo() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      content(api.POST('/api/admin/people/deletions/{deletion_id}/undo', { params: { path: { deletion_id: id } } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [LIST] });
      return client.invalidateQueries({ queryKey: ['gallery'] });
    },
  });
}
