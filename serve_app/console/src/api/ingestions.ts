import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';

import { api, content } from './client';
import { isArchive, pathOf } from './files';
import type { components } from './schema';

type Schemas = components['schemas'];
export type Ingestion = Schemas['IngestionAnswer'];
export type Refusal = Schemas['RefusalAnswer'];
export type Decision = Schemas['IngestionDecision']['decision'];

/** Jobs tell of their progress, but Ray does not tell that one was lost: it is asked. */
const RUNNING_MS = 2000;
const AT_ONCE = 3;
const FIRST: string | null = null;

export function useIngestions() {
  return useInfiniteQuery({
    queryKey: ['ingestion', 'list'],
    queryFn: ({ pageParam: cursor }) => content(api.GET('/api/admin/ingestions', { params: { query: { cursor } } })),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
    refetchInterval: ({ state: { data } }) =>
      data?.pages.some(({ ingestions }) => ingestions.some(({ state }) => state === 'running')) ? RUNNING_MS : false,
  });
}

export function useIngestion(id: string) {
  return useQuery({
    queryKey: ['ingestion', 'one', id],
    queryFn: () => content(api.GET('/api/admin/ingestions/{ingestion_id}', { params: { path: { ingestion_id: id } } })),
    refetchInterval: ({ state: { data } }) => (data?.ingestion.state === 'running' ? RUNNING_MS : false),
  });
}

/** What was not taken; null: for any reason. */
export function useRefusals(id: string, outcome: string | null) {
  return useInfiniteQuery({
    queryKey: ['ingestion', 'refusals', id, outcome],
    queryFn: ({ pageParam: cursor }) =>
      content(
        api.GET('/api/admin/ingestions/{ingestion_id}/refusals', {
          params: { path: { ingestion_id: id }, query: { outcome, cursor } },
        }),
      ),
    initialPageParam: FIRST,
    getNextPageParam: ({ next_cursor: next }) => next,
  });
}

export function pictureOf(ingestion: string, { id }: Refusal): string {
  return `/api/admin/ingestions/${ingestion}/refusals/${id}/picture`;
}

/** A change of ingestions, after which they are read again. */
function useChange<Input, Result>(change: (input: Input) => Promise<Result>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => client.invalidateQueries({ queryKey: ['ingestion'] }),
  });
}

function create(body: Schemas['NewIngestion']): Promise<Ingestion> {
  return content(api.POST('/api/admin/ingestions', { body }));
}

function start(id: string): Promise<Ingestion> {
  return content(api.POST('/api/admin/ingestions/{ingestion_id}/start', { params: { path: { ingestion_id: id } } }));
}

export function useIngestFrom() {
  return useChange(create);
}

export function useStartIngestion() {
  return useChange(start);
}

export function useDiscardIngestion() {
  return useChange((id: string) =>
    content(api.DELETE('/api/admin/ingestions/{ingestion_id}', { params: { path: { ingestion_id: id } } })),
  );
}

export function useDecide(id: string) {
  return useChange((body: Schemas['IngestionDecision']) =>
    content(
      api.POST('/api/admin/ingestions/{ingestion_id}/decisions', { params: { path: { ingestion_id: id } }, body }),
    ),
  );
}

interface Upload {
  files: File[];
  category: string | null;
  partBytes: number;
}

/** Uploads files and starts their ingestion. After a failure, `mutate` with the same files goes on where it was. */
export function useUpload() {
  const [sent, setSent] = useState(0);
  const begun = useRef<{ files: File[]; id: string; done: Set<number> }>(null);
  const change = useChange(async ({ files, category, partBytes }: Upload) => {
    if (begun.current?.files !== files) {
      setSent(0);
      begun.current = { files, id: (await create({ source: null, category })).id, done: new Set() };
    }
    const { id, done } = begun.current;
    const waiting = [...files.entries()].filter(([number]) => !done.has(number)).values();
    const work = async () => {
      for (const [number, file] of waiting) {
        await send(id, number, file, partBytes, (bytes) => {
          setSent((before) => before + bytes);
        });
        done.add(number);
      }
    };
    const workers = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
    const failed = workers.find((worker) => worker.status === 'rejected');
    if (failed) throw failed.reason as Error;
    return start(id);
  });
  return { ...change, sent };
}

async function send(id: string, number: number, file: File, partBytes: number, onSent: (bytes: number) => void) {
  const name = pathOf(file);
  const parts = isArchive(name) ? Math.max(1, Math.ceil(file.size / partBytes)) : null;
  for (let part = 0; part < (parts ?? 1); part += 1) {
    const data = parts === null ? file : file.slice(part * partBytes, (part + 1) * partBytes);
    await content(
      api.PUT('/api/admin/ingestions/{ingestion_id}/files/{number}', {
        params: { path: { ingestion_id: id, number }, query: { name, part, parts } },
        headers: { 'Content-Type': 'application/octet-stream' },
        body: {} as never,
        bodySerializer: () => data,
      }),
    );
    onSent(data.size);
  }
}
