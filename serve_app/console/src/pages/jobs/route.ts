import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';
import { type JobsSearch, searchOf } from './search';

export const jobsRoute = createRoute({
  getParentRoute: () => root,
  path: '/jobs',
  validateSearch: (search: Record<string, unknown>): JobsSearch => searchOf(search),
  component: lazyRouteComponent(() => import('./JobsPage'), 'JobsPage'),
});
