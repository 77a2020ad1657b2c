import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';
import { searchOf, type SystemSearch } from './search';

export const systemRoute = createRoute({
  getParentRoute: () => root,
  path: '/system',
  validateSearch: (search: Record<string, unknown>): SystemSearch => searchOf(search),
  component: lazyRouteComponent(() => import('./SystemPage'), 'SystemPage'),
});
