import { formatter } from '@lingui/format-po';

export default {
  locales: ['en', 'de'],
  sourceLocale: 'en',
  // Each page and what pages share have their own words beside them.
  catalogs: [
    { path: 'src/app/words.{locale}', include: ['src/app'] },
    { path: 'src/parts/words.{locale}', include: ['src/parts'] },
    { path: 'src/parts/refusals/words.{locale}', include: ['src/parts/refusals'] },
    { path: 'src/pages/{name}/words.{locale}', include: ['src/pages/{name}'] },
  ],
  format: formatter({ explicitIdAsDefault: true, printLinguiId: false, lineNumbers: false }),
};
