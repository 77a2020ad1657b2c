import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';

export const matchingRoute = createRoute({
  getParentRoute: () => root,
  path: '/matching',
  component: lazyRouteComponent(() => import('./MatchingPage'), 'MatchingPage'),
});
