import createClient from 'openapi-fetch';

import { ApiError, errorOf, unreachable } from '../client/errors';

import type { paths } from './schema';

export { ApiError };

/** Every call goes to the origin that served the page; the session's cookie goes with it. */
export const api = createClient<paths>({ baseUrl: globalThis.location.origin, credentials: 'same-origin' });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's content, or an ApiError with the service's own sentence. */
export async function content<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch((failure: unknown) => {
    throw unreachable(failure);
  });
  if (response.ok) return data as T;
  throw errorOf(response, error);
}

/** A body that openapi-typescript cannot describe: files in a form. */
export function form(files: [string, File][]) {
  const body = new FormData();
  for (const [name, file] of files) body.append(name, file);
  return { body: {} as never, bodySerializer: () => body };
}

/** Whether an error says that the session is over. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
