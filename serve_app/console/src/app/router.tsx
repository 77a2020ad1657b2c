import { createRouter } from '@tanstack/react-router';

import { galleryRoute, personRoute } from '../pages/gallery/route';
import { addRoute, ingestionRoute } from '../pages/ingestions/route';
import { jobsRoute } from '../pages/jobs/route';
import { matchingRoute } from '../pages/matching/route';
import { systemRoute } from '../pages/system/route';
import { tryRoute } from '../pages/try/route';
import { usersRoute } from '../pages/users/route';
import { Failed } from './Failed';
import { root } from './root';

export const router = createRouter({
  routeTree: root.addChildren([
    // In the order of the navigation.
    tryRoute,
    galleryRoute,
    personRoute,
    addRoute,
    ingestionRoute,
    matchingRoute,
    jobsRoute,
    usersRoute,
    systemRoute,
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
