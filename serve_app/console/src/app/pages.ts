import type { LinkProps } from '@tanstack/react-router';
import type { ComponentType } from 'react';

import type { WordId } from '../words/useWords';
import { FaceIcon, GalleryIcon, JobsIcon, MatchingIcon, PeopleIcon, SystemIcon } from './icons';

interface Page {
  path: LinkProps['to'] & string;
  title: WordId;
  Icon: ComponentType;
}

/** What the navigation lists, in this order. */
export const PAGES: Page[] = [
  { path: '/', title: 'try.title' satisfies WordId, Icon: FaceIcon },
  { path: '/gallery', title: 'gallery.title' satisfies WordId, Icon: GalleryIcon },
  { path: '/matching', title: 'matching.title' satisfies WordId, Icon: MatchingIcon },
  { path: '/jobs', title: 'jobs.title' satisfies WordId, Icon: JobsIcon },
  { path: '/users', title: 'users.title' satisfies WordId, Icon: PeopleIcon },
  { path: '/system', title: 'system.title' satisfies WordId, Icon: SystemIcon },
];
