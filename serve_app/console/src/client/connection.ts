/** An event as docs/realtime.md describes it. */
export interface LiveEvent {
  id?: number;
  type: string;
  data?: Record<string, unknown>;
}

export type State = 'closed' | 'open' | 'lost';

/** Gives a user's access token, a new one at each call if the last has expired. */
export type Token = () => string | Promise<string>;

export interface ConnectionOptions {
  /** Of the service, such as `https://semblance.example`. */
  url: string;
  channels: readonly string[];
  /** Without it the connection is a guest's, or that of the page's cookie. */
  token?: Token | undefined;
  /** Where there is no global one, as in Node before 22. */
  WebSocket?: typeof WebSocket | undefined;
  /** Every event but pings and hellos. After `reset`, load again what was loaded. */
  onEvent: (event: LiveEvent) => void;
  onState?: ((state: State) => void) | undefined;
  /** The service refuses this client, which therefore does not try again. */
  onRefused?: ((code: number, reason: string) => void) | undefined;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** The service sends something every 25 seconds; the network may lose a connection without saying so. */
const SILENCE_MS = 60_000;

const UNAUTHORIZED = 4401;
const REFUSED = [4400, 4403, 4409];

/** A WebSocket of events that comes back by itself: each event after the first `hello` comes exactly once. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #Socket: typeof WebSocket;
  #wanted = false;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause = FIRST_PAUSE_MS;
  #last: number | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#Socket = options.WebSocket ?? WebSocket;
  }

  /** Connects. After `close`, it continues where it was. */
  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#pause = FIRST_PAUSE_MS;
    void this.#connect();
  }

  close(): void {
    this.#wanted = false;
    this.#leave();
    this.#options.onState?.('closed');
  }

  async #connect(): Promise<void> {
    let token: string | undefined;
    try {
      token = await this.#options.token?.();
    } catch {
      this.#retry();
      return;
    }
    // It may have been closed, or closed and opened again, while the token was fetched.
    if (!this.#wanted || this.#socket) return;
    const url = new URL('/api/realtime', this.#options.url);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('channels', this.#options.channels.join(','));
    if (this.#last !== undefined) url.searchParams.set('last_event_id', String(this.#last));
    let socket: WebSocket;
    try {
      socket = new this.#Socket(url, token === undefined ? [] : ['bearer', token]);
    } catch {
      // A token that a header cannot carry: it is empty, or has a blank or a newline.
      this.#retry();
      return;
    }
    this.#socket = socket;
    this.#expect();
    socket.onmessage = ({ data }) => {
      this.#expect();
      this.#receive(socket, JSON.parse(String(data)) as LiveEvent);
    };
    socket.onclose = ({ code, reason }) => {
      const signIn = code === UNAUTHORIZED && !this.#options.token;
      if (!signIn && !REFUSED.includes(code)) {
        this.#retry();
        return;
      }
      this.#wanted = false;
      this.#leave();
      this.#options.onState?.('lost');
      this.#options.onRefused?.(code, reason);
    };
  }

  #receive(socket: WebSocket, event: LiveEvent): void {
    if (event.id !== undefined) this.#last = event.id;
    if (event.type === 'ping') socket.send('{"type":"pong"}');
    else if (event.type === 'hello') {
      this.#pause = FIRST_PAUSE_MS;
      this.#options.onState?.('open');
    } else this.#options.onEvent(event);
  }

  #expect(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#retry();
    }, SILENCE_MS);
  }

  #retry(): void {
    if (!this.#wanted) return;
    this.#leave();
    this.#options.onState?.('lost');
    this.#timer = setTimeout(() => {
      void this.#connect();
    }, this.#pause);
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
  }

  #leave(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }
}
