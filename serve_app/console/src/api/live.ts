import { useEffect, useRef, useSyncExternalStore } from 'react';

import { Connection, type LiveEvent, type State } from '../client';

import { queries } from './queries';

/** What the channel `admin` tells; docs/realtime.md describes it. */
const KINDS = ['ingestion', 'jobs', 'gallery', 'settings', 'users', 'audit'] as const;
export type Kind = (typeof KINDS)[number];
export type LiveData = Record<string, unknown>;

/** Many events in a row make one reading. */
const GATHER_MS = 300;

type Listener = (data: LiveData) => void;

/** The one socket of the page: it comes back by itself, and nothing that was told meanwhile is lost. */
class Live {
  state: State = 'closed';
  readonly listeners = new Map<Kind, Set<Listener>>(KINDS.map((kind) => [kind, new Set()]));
  readonly #watchers = new Set<() => void>();
  readonly #stale = new Set<Kind>();
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #connection: Connection | undefined;

  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  };

  open(): void {
    this.#connection ??= new Connection({
      url: globalThis.location.origin,
      channels: ['admin'],
      onEvent: (event) => {
        this.#receive(event);
      },
      onState: (state) => {
        this.state = state;
        for (const watcher of this.#watchers) watcher();
      },
      // Not signed in: the next call says so.
      onRefused: () => void queries.invalidateQueries({ queryKey: ['session'] }),
    });
    this.#connection.open();
  }

  close(): void {
    this.#connection?.close();
  }

  #receive(event: LiveEvent): void {
    if (event.type === 'reset') {
      void queries.invalidateQueries();
      return;
    }
    const kind = KINDS.find((known) => known === event.type);
    if (kind === undefined) return;
    for (const listener of this.listeners.get(kind) ?? []) listener(event.data ?? {});
    this.#stale.add(kind);
    this.#gathering ??= setTimeout(() => {
      this.#readAgain();
    }, GATHER_MS);
  }

  #readAgain(): void {
    this.#gathering = undefined;
    for (const kind of this.#stale) void queries.invalidateQueries({ queryKey: [kind] });
    this.#stale.clear();
  }
}

const live = new Live();

/** Keeps the socket open while somebody is signed in. An event of a kind makes the queries of that topic stale. */
export function useLive(signedIn: boolean): State {
  useEffect(() => {
    if (!signedIn) return undefined;
    live.open();
    return () => {
      live.close();
    };
  }, [signedIn]);
  return useSyncExternalStore(live.watch, () => live.state);
}

/** Calls `take` with the data of each event of a kind, for what is shown without asking again, such as progress. */
export function useLiveEvent(kind: Kind, take: Listener): void {
  const latest = useRef(take);
  useEffect(() => {
    latest.current = take;
  });
  useEffect(() => {
    const listener: Listener = (data) => {
      latest.current(data);
    };
    live.listeners.get(kind)?.add(listener);
    return () => {
      live.listeners.get(kind)?.delete(listener);
    };
  }, [kind]);
}
