import { useMutation, useQuery } from '@tanstack/react-query';

import { ApiError, content, isSignedOut } from './client';
import { queries, SESSION_KEY } from './queries';

export interface Session {
  name: string;
  /** ISO 8601. */
  expires_at: string;
}

async function call(path: string, init?: RequestInit): Promise<Session> {
  const answered = fetch(path, { credentials: 'same-origin', ...init }).then(async (response) => {
    const body: unknown = response.status === 204 ? undefined : await response.json().catch(() => undefined);
    return response.ok ? { data: body as Session, response } : { error: body, response };
  });
  return content(answered);
}

/** What a link of `semblance console` carries, taken once and removed from the address and its history. */
function takeCode(): string | undefined {
  const code = /^#code=(.+)$/.exec(globalThis.location.hash)?.[1];
  if (code !== undefined) history.replaceState(null, '', globalThis.location.pathname + globalThis.location.search);
  return code;
}

let code = takeCode();

async function current(): Promise<Session | null> {
  if (code !== undefined) {
    const once = code;
    code = undefined;
    return signIn({ code: once });
  }
  try {
    return await call('/api/console/session');
  } catch (error) {
    if (isSignedOut(error)) return null;
    throw error;
  }
}

type Credential = { code: string } | { token: string };

function signIn(credential: Credential): Promise<Session> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if ('token' in credential) headers.Authorization = `Bearer ${credential.token}`;
  const body = JSON.stringify('code' in credential ? credential : {});
  return call('/api/console/sessions', { method: 'POST', headers, body });
}

/** Who is signed in; null: nobody. It is an error where the link's code does not work (any more). */
export function useSession() {
  return useQuery({
    queryKey: SESSION_KEY,
    queryFn: current,
    staleTime: 60_000,
    refetchOnWindowFocus: 'always',
    retry: (count, error) => count < 2 && error instanceof ApiError && error.status >= 500,
  });
}

/** Sign in with an access token of an admin. */
export function useSignIn() {
  return useMutation({
    mutationFn: (token: string) => signIn({ token }),
    onSuccess: async (session) => {
      queries.setQueryData(SESSION_KEY, session);
      await queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== SESSION_KEY[0] });
    },
  });
}

/** Sign out, and forget all that was shown. */
export function useSignOut() {
  return useMutation({
    mutationFn: () => call('/api/console/session', { method: 'DELETE' }),
    onSuccess: () => {
      globalThis.location.assign('/console/');
    },
  });
}
