/** What is said of a refusal, by its code: `all` there is to say, or its `kind`, of which the service's own sentence says more. */
export const SAYS: Readonly<Record<string, 'all' | 'kind'>> = {
  account_blocked: 'all',
  baby_provider: 'all',
  bad_host: 'all',
  bad_input: 'kind',
  bad_request: 'kind',
  configuration: 'all',
  conflict: 'kind',
  database: 'all',
  database_full: 'all',
  database_query: 'all',
  database_read_only: 'all',
  duplicate_picture: 'all',
  email_not_allowed: 'all',
  email_taken: 'all',
  encoded_body: 'all',
  forbidden: 'kind',
  headers_too_large: 'kind',
  idempotency_key_reused: 'all',
  identity_provider: 'all',
  image_too_costly: 'kind',
  image_too_large: 'kind',
  incomplete_body: 'all',
  internal_error: 'all',
  invalid_request: 'kind',
  method_not_allowed: 'all',
  model_pack: 'all',
  no_face: 'kind',
  not_found: 'kind',
  not_ready: 'kind',
  overloaded: 'kind',
  pack_mismatch: 'kind',
  quota_exceeded: 'all',
  request_in_progress: 'all',
  school_taken: 'all',
  several_faces: 'kind',
  slow_body: 'all',
  storage: 'all',
  storage_full: 'all',
  storage_read_only: 'all',
  text_provider: 'all',
  text_refused: 'kind',
  timeout: 'all',
  too_many_connections: 'all',
  too_many_requests: 'kind',
  too_many_uploads: 'all',
  try_later: 'kind',
  unauthorized: 'kind',
  unknown: 'kind',
  unreachable: 'all',
  unreadable_image: 'kind',
};

/** A refusal as the service gives it: in an answer, or as one of several results. */
export interface Refused {
  code: string;
  message: string;
  details?: Readonly<Record<string, unknown>>;
}

/** How one is told. own: the service's sentence, in English, where it says more than the text in another language. */
export interface Told {
  text: string;
  own: string | undefined;
}

/** `words` gives the sentence of an id in the reader's language. */
export function tell(
  { code, message, details = {} }: Refused,
  language: string,
  words: (id: string, values?: Record<string, string | number>) => string,
): Told {
  const says = SAYS[code];
  const own = message === '' ? undefined : message;
  // Of a newer service.
  if (says === undefined) return { text: own ?? words('refusal.unknown'), own: undefined };
  if (says === 'kind' && language === 'en' && own !== undefined) return { text: own, own: undefined };
  return { text: words(`refusal.${code}`, plain(details)), own: says === 'kind' ? own : undefined };
}

function plain(details: Readonly<Record<string, unknown>>): Record<string, string | number> {
  const values = Object.entries(details).filter(
    (entry): entry is [string, string | number] => typeof entry[1] === 'string' || typeof entry[1] === 'number',
  );
  return Object.fromEntries(values);
}
