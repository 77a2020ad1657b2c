import { createRouter } from '@tanstack/react-router';

import { matchingRoute } from '../pages/matching/route';
import { tryRoute } from '../pages/try/route';
import { Failed } from './Failed';
import { root } from './root';

export const router = createRouter({
  routeTree: root.addChildren([
    // In the order of the navigation.
    tryRoute,
    matchingRoute,
  ]),
  basepath: '/console',
  defaultPreload: 'intent',
  defaultErrorComponent: Failed,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
