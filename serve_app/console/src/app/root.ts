import { createRootRoute } from '@tanstack/react-router';

import { Failed, NotFound } from './Failed';
import { Shell } from './Shell';

/** What every page's route hangs on. */
export const root = createRootRoute({ component: Shell, errorComponent: Failed, notFoundComponent: NotFound });
