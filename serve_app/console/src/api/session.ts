import { noop, queryOptions, useMutation, useQuery } from '@tanstack/react-query';

import { api, ApiError, content, isSignedOut } from './client';
import { queries, SESSION_KEY } from './queries';
import type { components } from './schema';

export type Session = components['schemas']['ConsoleSessionAnswer'];

/** What a link of `semblance console` carries, taken once and removed from the address and its history. */
function takeCode(): string | undefined {
  const code = /^#code=(.+)$/.exec(globalThis.location.hash)?.[1];
  if (code !== undefined) history.replaceState(null, '', globalThis.location.pathname + globalThis.location.search);
  return code;
}

let code = takeCode();

// A link opened in a tab that already shows the console changes the address and loads nothing.
globalThis.addEventListener('hashchange', () => {
  code = takeCode();
  if (code !== undefined) void queries.invalidateQueries();
});

async function current(): Promise<Session | null> {
  if (code !== undefined) {
    const once = code;
    code = undefined;
    return signIn({ code: once });
  }
  try {
    return await content(api.GET('/api/console/session'));
  } catch (error) {
    if (isSignedOut(error)) return null;
    throw error;
  }
}

type Credential = { code: string } | { token: string };

function signIn(credential: Credential): Promise<Session> {
  return content(
    'code' in credential
      ? api.POST('/api/console/sessions', { body: credential })
      : api.POST('/api/console/sessions', { body: {}, headers: { Authorization: `Bearer ${credential.token}` } }),
  );
}

const SESSION = queryOptions({
  queryKey: SESSION_KEY,
  queryFn: current,
  staleTime: 60_000,
  retry: (count, error) => count < 2 && error instanceof ApiError && error.status >= 500,
});

/** Who is signed in; null: nobody. It is an error where the link's code does not work (any more). */
export function useSession() {
  return useQuery({ ...SESSION, refetchOnWindowFocus: 'always' });
}

/** Asks who is signed in before anything is drawn, and then does what makes sense only for them. */
export function whenSignedIn(then: () => void = noop): void {
  queries
    .query({ ...SESSION, staleTime: 'static' })
    .then((session) => {
      if (session !== null) then();
    })
    // The pages know of a failure by the same query.
    .catch(noop);
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
    mutationFn: () => content(api.DELETE('/api/console/session')),
    onSuccess: () => {
      globalThis.location.assign('/console/');
    },
  });
}
