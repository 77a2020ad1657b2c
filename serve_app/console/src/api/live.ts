import { useEffect, useRef, useSyncExternalStore } from 'react';

import { queries } from './queries';

/** What the channel `admin` tells; docs/realtime.md describes it. */
const KINDS = ['ingestion', 'jobs', 'gallery', 'settings', 'users', 'audit'] as const;
export type Kind = (typeof KINDS)[number];
export type LiveData = Record<string, unknown>;

interface LiveEvent {
  id?: number;
  type: string;
  data?: LiveData;
}

const LONGEST_PAUSE_MS = 30_000;
/** Many events in a row make one reading. */
const GATHER_MS = 300;

type Listener = (data: LiveData) => void;
type State = 'closed' | 'open' | 'lost';

/** The one socket of the page: it comes back by itself, and nothing that was told meanwhile is lost. */
class Live {
  state: State = 'closed';
  readonly listeners = new Map<Kind, Set<Listener>>(KINDS.map((kind) => [kind, new Set()]));
  readonly #watchers = new Set<() => void>();
  readonly #stale = new Set<Kind>();
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #pause = 500;
  #last: number | undefined;

  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  };

  open(): void {
    const url = new URL('/api/realtime', globalThis.location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('channels', 'admin');
    if (this.#last !== undefined) url.searchParams.set('last_event_id', String(this.#last));
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      this.#receive(socket, JSON.parse(String(data)) as LiveEvent);
    };
    socket.onclose = ({ code }) => {
      this.#become('lost');
      // Not signed in: the next call says so. Refused: it would be again.
      if ([4400, 4401, 4403, 4409].includes(code)) {
        void queries.invalidateQueries({ queryKey: ['session'] });
        return;
      }
      this.#timer = setTimeout(() => {
        this.open();
      }, this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    };
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#socket) {
      this.#socket.onclose = null;
      this.#socket.onmessage = null;
      this.#socket.close();
    }
    this.#become('closed');
  }

  #receive(socket: WebSocket, event: LiveEvent): void {
    if (event.id !== undefined) this.#last = event.id;
    if (event.type === 'ping') socket.send('{"type":"pong"}');
    else if (event.type === 'hello') {
      this.#pause = 500;
      this.#become('open');
    } else if (event.type === 'reset') void queries.invalidateQueries();
    else {
      const kind = KINDS.find((known) => known === event.type);
      if (kind === undefined) return;
      for (const listener of this.listeners.get(kind) ?? []) listener(event.data ?? {});
      this.#stale.add(kind);
      this.#gathering ??= setTimeout(() => {
        this.#readAgain();
      }, GATHER_MS);
    }
  }

  #readAgain(): void {
    this.#gathering = undefined;
    for (const kind of this.#stale) void queries.invalidateQueries({ queryKey: [kind] });
    this.#stale.clear();
  }

  #become(state: State): void {
    this.state = state;
    for (const watcher of this.#watchers) watcher();
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
