/** What pages and programs need of the service beside plain requests. It depends on no package. */
export { Chat } from './chat';
export type { ChatOptions, Message, Subscriber } from './chat';
export { Connection } from './connection';
export type { ConnectionOptions, LiveEvent, State, Token } from './connection';
export { ApiError } from './errors';
