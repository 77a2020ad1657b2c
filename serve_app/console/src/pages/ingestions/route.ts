import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { root } from '../../app/root';

export const addRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery/add',
  component: lazyRouteComponent(() => import('./AddPage'), 'AddPage'),
});

export const ingestionRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery/add/$ingestionId',
  component: lazyRouteComponent(() => import('./IngestionPage'), 'IngestionPage'),
});
