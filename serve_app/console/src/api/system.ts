import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type System = Schemas['SystemAnswer'];
export type Deployment = Schemas['DeploymentAnswer'];
export type RouteTraffic = Schemas['RouteAnswer'];
export type Finding = Schemas['FindingAnswer'];
export type ApiKey = Schemas['ApiKeySummary'];
export type Scope = ApiKey['scopes'][number];
export type NewApiKey = Schemas['NewApiKey'];
export type ConsoleSession = Schemas['ConsoleSessionAnswer'];
export type AuditEntry = Schemas['AuditEntry'];

/** Nobody tells of queues and latencies; Ray has new values every ten seconds. */
const MEASURED_MS = 10_000;

const FIRST: string | null = null;

export function useSystem() {
  return useQuery({
    queryKey: ['system'],
    queryFn: () => content(api.GET('/api/admin/system')),
    refetchInterval: MEASURED_MS,
  });
}

/** What the checks find; they run when somebody asks. */
export function useFindings() {
  return useQuery({
    queryKey: ['findings'],
    queryFn: async () => (await content(api.GET('/api/admin/system/findings'))).findings,
    staleTime: Infinity,
  });
}

/** Every change of keys and sessions is told as a new line of the audit log. */
const CHANGES = 'audit';

export function useApiKeys() {
  return useQuery({
    queryKey: [CHANGES, 'keys'],
    queryFn: async () => (await content(api.GET('/api/admin/api-keys'))).keys,
  });
}

export function useConsoleSessions() {
  return useInfiniteQuery({
    queryKey: [CHANGES, 'sessions'],
    queryFn: ({ pageParam: cursor }) =>
      content(api.GET('/api/admin/console-sessions', { params: { query: { cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
  });
}

/** Lines of the audit log; action: one or a noun, actor: one or a kind, null: all. */
export function useAudit(action: string | null, actor: string | null) {
  return useInfiniteQuery({
    queryKey: [CHANGES, 'log', action, actor],
    queryFn: ({ pageParam: cursor }) =>
      content(api.GET('/api/admin/audit', { params: { query: { action, actor, cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
  });
}

function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => client.invalidateQueries({ queryKey: [CHANGES] }),
  });
}

export function useCreateKey() {
  return useChange((body: NewApiKey) => content(api.POST('/api/admin/api-keys', { body })));
}

export function useRevokeKey() {
  return useChange((id: string) =>
    content(api.DELETE('/api/admin/api-keys/{key_id}', { params: { path: { key_id: id } } })),
  );
}

export function useEndSession() {
  return useChange((id: string) =>
    content(api.DELETE('/api/admin/console-sessions/{session_id}', { params: { path: { session_id: id } } })),
  );
}
