import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';
import { searchOf, type TrySearch } from './search';

export const tryRoute = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: (search: Record<string, unknown>): TrySearch => searchOf(search),
  component: lazyRouteComponent(() => import('./TryPage'), 'TryPage'),
});
