import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';

export const jobsRoute = createRoute({
  getParentRoute: () => root,
  path: '/jobs',
  component: lazyRouteComponent(() => import('./JobsPage'), 'JobsPage'),
});
