import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';
import { type AddSearch, searchOf } from './search';

export const addRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery/add',
  validateSearch: (search: Record<string, unknown>): AddSearch => searchOf(search),
  component: lazyRouteComponent(() => import('./AddPage'), 'AddPage'),
});

export const ingestionRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery/add/$ingestionId',
  component: lazyRouteComponent(() => import('./IngestionPage'), 'IngestionPage'),
});
