import createClient from 'openapi-fetch';

import type { paths } from './schema';

/** Every call goes to the origin that served the page; the session's cookie goes with it. */
export const api = createClient<paths>({ baseUrl: globalThis.location.origin, credentials: 'same-origin' });

/** What the service answers where it refuses or fails; status 0 where it does not answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | undefined,
  ) {
    super(message);
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's content, or an ApiError with the service's own sentence. */
export async function content<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch((failure: unknown) => {
    // What fetch throws where nothing answers.
    if (failure instanceof TypeError) throw new ApiError(0, 'unreachable', failure.message, undefined);
    throw failure;
  });
  if (response.ok) return data as T;
  const told = (typeof error === 'object' ? (error ?? {}) : {}) as {
    error?: string;
    code?: string;
    request_id?: string;
  };
  throw new ApiError(
    response.status,
    told.code ?? 'unknown',
    told.error ?? response.statusText,
    told.request_id ?? response.headers.get('X-Request-ID') ?? undefined,
  );
}

/** Whether an error says that the session is over. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
