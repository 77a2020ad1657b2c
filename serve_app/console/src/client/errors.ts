/** What the service answers where it refuses or fails; status 0 where it does not answer. details: further fields of the answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | undefined,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** The error of an answer, with the service's own sentence where `told`, the answer's JSON, has one. */
export function errorOf(response: Response, told: unknown): ApiError {
  const { error, code, request_id, ...details } = (typeof told === 'object' ? (told ?? {}) : {}) as {
    error?: string;
    code?: string;
    request_id?: string;
  };
  return new ApiError(
    response.status,
    code ?? 'unknown',
    error ?? response.statusText,
    request_id ?? response.headers.get('X-Request-ID') ?? undefined,
    details,
  );
}

/** The error of a request that got no answer; what is none of these is thrown again. */
export function unreachable(failure: unknown): ApiError {
  // What fetch throws where nothing answers.
  if (failure instanceof TypeError) return new ApiError(0, 'unreachable', failure.message, undefined);
  throw failure;
}
