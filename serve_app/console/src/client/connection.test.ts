import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Connection, type ConnectionOptions, type LiveEvent } from './connection';

/** A socket on which a test says what the service would. */
class Line {
  static readonly all: Line[] = [];
  static get last(): Line {
    const line = Line.all.at(-1);
    if (!line) throw new Error('nothing was opened');
    return line;
  }
  readonly url: URL;
  readonly sent: string[] = [];
  closed = false;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((end: { code: number; reason: string }) => void) | null = null;

  constructor(
    url: URL,
    readonly protocols: string[],
  ) {
    this.url = new URL(url);
    Line.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  says(event: LiveEvent): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  ends(code: number): void {
    this.onclose?.({ code, reason: 'why' });
  }
}

const told: string[] = [];

async function connect(options: Partial<ConnectionOptions> = {}): Promise<Connection> {
  const connection = new Connection({
    url: 'https://semblance.example',
    channels: ['messages', 'jobs'],
    WebSocket: Line as unknown as typeof WebSocket,
    onEvent: ({ type }) => told.push(type),
    onState: (state) => told.push(state),
    onRefused: (code, reason) => told.push(`${code} ${reason}`),
    ...options,
  });
  connection.open();
  await vi.advanceTimersByTimeAsync(0);
  return connection;
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  Line.all.length = 0;
  told.length = 0;
});

describe('a connection', () => {
  it('asks for its channels with the token beside the address', async () => {
    await connect({ token: () => 'secret' });
    expect(Line.last.url.href).toBe('wss://semblance.example/api/realtime?channels=messages%2Cjobs');
    expect(Line.last.protocols).toEqual(['bearer', 'secret']);
  });

  it('tells events and answers pings', async () => {
    await connect();
    Line.last.says({ id: 1, type: 'hello' });
    Line.last.says({ id: 2, type: 'job' });
    Line.last.says({ id: 3, type: 'ping' });
    expect(told).toEqual(['open', 'job']);
    expect(Line.last.sent).toEqual(['{"type":"pong"}']);
  });

  it('comes back after growing pauses, where it was', async () => {
    await connect();
    Line.last.says({ id: 7, type: 'job' });
    Line.last.ends(1012);
    await vi.advanceTimersByTimeAsync(500);
    expect(Line.last.url.searchParams.get('last_event_id')).toBe('7');
    Line.last.ends(1006);
    await vi.advanceTimersByTimeAsync(999);
    expect(Line.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    Line.last.says({ id: 7, type: 'hello' });
    Line.last.ends(1006);
    await vi.advanceTimersByTimeAsync(500);
    expect(Line.all).toHaveLength(4);
  });

  it('takes silence for a loss', async () => {
    await connect();
    Line.last.says({ id: 1, type: 'hello' });
    await vi.advanceTimersByTimeAsync(60_500);
    expect(Line.all.map(({ closed }) => closed)).toEqual([true, false]);
    expect(told).toEqual(['open', 'lost']);
  });

  it('takes a new token where the last has expired', async () => {
    const token = vi.fn().mockResolvedValueOnce('old').mockResolvedValueOnce('new');
    await connect({ token });
    Line.last.ends(4401);
    await vi.advanceTimersByTimeAsync(500);
    expect(Line.last.protocols).toEqual(['bearer', 'new']);
  });

  it('tries again where no token was to be had', async () => {
    const token = vi.fn().mockRejectedValueOnce(new TypeError('offline')).mockResolvedValueOnce('new');
    await connect({ token });
    expect(Line.all).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(500);
    expect(Line.last.protocols).toEqual(['bearer', 'new']);
  });

  it('tries again where a token cannot be sent', async () => {
    class Strict extends Line {
      constructor(url: URL, protocols: string[]) {
        if (protocols[1]?.includes('\n')) throw new SyntaxError('as of a browser');
        super(url, protocols);
      }
    }
    const token = vi.fn().mockReturnValueOnce('broken\n').mockReturnValueOnce('whole');
    await connect({ token, WebSocket: Strict as unknown as typeof WebSocket });
    expect(told).toEqual(['lost']);
    await vi.advanceTimersByTimeAsync(500);
    expect(Line.last.protocols).toEqual(['bearer', 'whole']);
  });

  it.each([4400, 4401, 4403, 4409])('gives up where it is refused with %i', async (code) => {
    await connect();
    Line.last.ends(code);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Line.all).toHaveLength(1);
    expect(told).toEqual(['lost', `${code} why`]);
  });

  it('stays closed once it is closed, and continues when it is opened', async () => {
    const connection = await connect();
    Line.last.says({ id: 9, type: 'job' });
    connection.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Line.all.map(({ closed }) => closed)).toEqual([true]);
    connection.open();
    await vi.advanceTimersByTimeAsync(0);
    expect(Line.last.url.searchParams.get('last_event_id')).toBe('9');
  });

  it('closes while it waits for its token', async () => {
    const connection = await connect({ token: () => new Promise((give) => setTimeout(give, 1000, 'late')) });
    connection.close();
    await vi.advanceTimersByTimeAsync(2000);
    expect(Line.all).toHaveLength(0);
  });
});
