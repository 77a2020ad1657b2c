import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';
import { searchOf, type UsersSearch } from './filter';

export const usersRoute = createRoute({
  getParentRoute: () => root,
  path: '/users',
  validateSearch: (search: Record<string, unknown>): UsersSearch => searchOf(search),
  component: lazyRouteComponent(() => import('./UsersPage'), 'UsersPage'),
});
