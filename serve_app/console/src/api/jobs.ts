import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type MatchJob = Schemas['QueuedJobAnswer'];
export type MatchJobStatus = MatchJob['status'];
export type Queue = Schemas['QueueAnswer'];
export type QueueStatistics = Schemas['QueueStatistics'];
export type RayJob = Schemas['RayJobAnswer'];
export type RayJobKind = RayJob['kind'];
export type RayJobRequest =
  Schemas['IngestRequest'] | Schemas['RematchRequest'] | Schemas['ReembedRequest'] | Schemas['QdrantRequest'];

export function useQueue() {
  return useQuery({
    queryKey: ['jobs', 'queue'],
    queryFn: () => content(api.GET('/api/admin/jobs/queue')),
  });
}

/** Jobs tell of their progress, but Ray does not tell that one has ended: it is asked. */
const RUNNING_MS = 2000;

export function isOpen({ status }: RayJob): boolean {
  return status === 'pending' || status === 'running';
}

const FIRST: string | null = null;

export function useMatchJobs(status: MatchJobStatus) {
  return useInfiniteQuery({
    queryKey: ['jobs', 'match', status],
    queryFn: ({ pageParam: cursor }) => content(api.GET('/api/admin/jobs', { params: { query: { status, cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
  });
}

export function useRayJobs() {
  return useInfiniteQuery({
    queryKey: ['jobs', 'ray'],
    queryFn: ({ pageParam: cursor }) => content(api.GET('/api/admin/ray-jobs', { params: { query: { cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
    refetchInterval: ({ state }) => (state.data?.pages.some(({ jobs }) => jobs.some(isOpen)) ? RUNNING_MS : false),
  });
}

/** The end of a job's log; live: read again whenever the job tells of its progress. */
export function useRayJobLog(id: string, live: boolean) {
  return useQuery({
    queryKey: live ? ['jobs', 'log', id] : ['log', id],
    queryFn: () => content(api.GET('/api/admin/ray-jobs/{job_id}/log', { params: { path: { job_id: id } } })),
  });
}

/** What a job did not take, page by page. */
export function useRayJobReport(id: string) {
  return useInfiniteQuery({
    queryKey: ['report', id],
    queryFn: ({ pageParam: offset }) =>
      content(
        api.GET('/api/admin/ray-jobs/{job_id}/report', { params: { path: { job_id: id }, query: { offset } } }),
      ),
    initialPageParam: 0,
    getNextPageParam: ({ next_offset: next }) => next,
    staleTime: 0,
  });
}

/** A change of the jobs, after which they are read again. */
function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => client.invalidateQueries({ queryKey: ['jobs'] }),
  });
}

export function usePause() {
  return useChange((paused: boolean) =>
    content(paused ? api.POST('/api/admin/jobs/pause') : api.POST('/api/admin/jobs/resume')),
  );
}

/** Returns failed jobs to the queue; null: all of them. */
export function useRetry() {
  return useChange((ids: string[] | null) =>
    content(ids ? api.POST('/api/admin/jobs/retry', { body: { ids } }) : api.POST('/api/admin/jobs/retry-all')),
  );
}

export function useStartRayJob() {
  return useChange((body: RayJobRequest) => content(api.POST('/api/admin/ray-jobs', { body })));
}

export function useStopRayJob() {
  return useChange((id: string) =>
    content(api.POST('/api/admin/ray-jobs/{job_id}/stop', { params: { path: { job_id: id } } })),
  );
}
