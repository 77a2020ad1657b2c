import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type User = Schemas['UserSummary'];
export type UserDetails = Schemas['UserDetails'];
export type Role = User['role'];

/** undefined: all. search: how the name, the address or the school begins. */
export interface UserFilter {
  search?: string | undefined;
  role?: Role | undefined;
  blocked?: boolean | undefined;
}

const FIRST: string | null = null;

export function useUsers({ search = '', role, blocked }: UserFilter) {
  const query = { search, role: role ?? null, blocked: blocked ?? null };
  return useInfiniteQuery({
    queryKey: ['users', 'list', query],
    queryFn: ({ pageParam: cursor }) =>
      content(api.GET('/api/admin/users', { params: { query: { ...query, cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
  });
}

export function useUser(id: string) {
  return useQuery({
    queryKey: ['users', 'one', id],
    queryFn: () => content(api.GET('/api/admin/users/{user_id}', { params: { path: { user_id: id } } })),
  });
}

/** A change of a user, after which users are read again. */
function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => client.invalidateQueries({ queryKey: ['users'] }),
  });
}

export function useBlock(id: string) {
  const params = { path: { user_id: id } };
  return useChange((blocked: boolean) =>
    content(
      blocked
        ? api.POST('/api/admin/users/{user_id}/block', { params })
        : api.POST('/api/admin/users/{user_id}/unblock', { params }),
    ),
  );
}

export function useChangeRole(id: string) {
  return useChange((role: Role) =>
    content(api.PUT('/api/admin/users/{user_id}/role', { params: { path: { user_id: id } }, body: { role } })),
  );
}

/** Deletes a user; the name is repeated. */
export function useDeleteUser(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      content(api.POST('/api/admin/users/{user_id}/delete', { params: { path: { user_id: id } }, body: { name } })),
    onSuccess: () => {
      client.removeQueries({ queryKey: ['users', 'one', id] });
      return client.invalidateQueries({ queryKey: ['users', 'list'] });
    },
  });
}
