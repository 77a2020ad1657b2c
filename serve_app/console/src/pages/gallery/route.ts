import { createRoute, lazyRouteComponent } from '@tanstack/react-router';

import { type PeopleFilter, readPeopleAhead } from '../../api/gallery';
import { root } from '../../app/root';
import { filterOf } from './filter';

export const galleryRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery',
  validateSearch: (search: Record<string, unknown>): PeopleFilter => filterOf(search),
  loaderDeps: ({ search }) => search,
  loader: ({ deps }) => {
    readPeopleAhead(deps);
  },
  component: lazyRouteComponent(() => import('./GalleryPage'), 'GalleryPage'),
});

export const personRoute = createRoute({
  getParentRoute: () => root,
  path: '/gallery/$personId',
  component: lazyRouteComponent(() => import('./PersonPage'), 'PersonPage'),
});
