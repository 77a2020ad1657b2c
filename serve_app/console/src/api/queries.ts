import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query';

import { ApiError, isSignedOut } from './client';

export const SESSION_KEY = ['session'] as const;

/** Any answer may be the first that says so; the page stays as it is, with a notice over it. */
function noteSignedOut(error: Error): void {
  if (isSignedOut(error)) queries.setQueryData(SESSION_KEY, null);
}

/** All that is known from the service. The first part of a key is its topic, which live events name. */
export const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, { queryKey }) => {
      if (queryKey[0] !== SESSION_KEY[0]) noteSignedOut(error);
    },
  }),
  mutationCache: new MutationCache({ onError: noteSignedOut }),
  defaultOptions: {
    // Also where the browser says that there is no network: the service may be on this machine, and a change that waited
    // for the network would be made when nobody expects it any more.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      staleTime: 30_000,
      // What the service refuses it refuses again.
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status > 0 && error.status < 500),
    },
  },
});
