import type { SchemaMessageAnswer as MessageAnswer, SchemaNewMessage as NewMessage } from '../api/schema';

import type { State, Token } from './connection';
import { Connection } from './connection';
import { ApiError, errorOf, unreachable } from './errors';

/** A message as an event tells it to both members of its connection. */
export type Message = Pick<
  MessageAnswer,
  'id' | 'connection_id' | 'sender_id' | 'content' | 'message_type' | 'read_at' | 'created_at'
>;

export interface ChatOptions {
  /** Of the service, such as `https://semblance.example`. */
  url: string;
  token: Token;
  /** Where there is no global one, as in Node before 22. */
  WebSocket?: typeof WebSocket;
}

export interface Subscriber {
  /** A new message, or one whose content has changed: it then has the id of an earlier one. */
  onMessage: (message: Message) => void;
  /** Messages were missed that are no longer known as events: load the list again. */
  onReset: () => void;
  onState?: (state: State) => void;
  onRefused?: (code: number, reason: string) => void;
}

/** The messages of one user. */
export class Chat {
  readonly #options: ChatOptions;

  constructor(options: ChatOptions) {
    this.#options = options;
  }

  /** Sends a message in an active connection of the user's. Throws ApiError. */
  async sendMessage(message: NewMessage): Promise<MessageAnswer> {
    const request = {
      method: 'POST',
      headers: { 'Authorization': `Bearer ${await this.#options.token()}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(message),
    };
    const response = await fetch(new URL('/api/messages', this.#options.url), request).catch((failure: unknown) => {
      throw unreachable(failure);
    });
    const answer: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw errorOf(response, answer);
    if (answer === undefined) throw new ApiError(0, 'unreachable', 'The answer did not arrive whole.', undefined);
    return answer as MessageAnswer;
  }

  /** Tells of each message of a connection until the result is called. It reconnects by itself, and each message that
   * comes meanwhile is told once. Load the messages that are there already when the state is `open`. */
  subscribeToMessages(connectionId: string, subscriber: Subscriber): () => void {
    const connection = new Connection({
      ...this.#options,
      channels: ['messages'],
      onEvent: ({ type, data }) => {
        if (type === 'reset') subscriber.onReset();
        else if (type === 'message' && data?.connection_id === connectionId)
          subscriber.onMessage(data as unknown as Message);
      },
      onState: subscriber.onState,
      onRefused: subscriber.onRefused,
    });
    connection.open();
    return () => {
      connection.close();
    };
  }
}
