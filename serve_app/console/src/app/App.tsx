import { i18n } from '@lingui/core';
import { I18nProvider } from '@lingui/react';
import { createTheme, MantineProvider, Switch } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';

import { queries } from '../api/queries';
import { styleNonce } from './nonce';
import { router } from './router';

const theme = createTheme({
  primaryColor: 'blue',
  // White on it, and it on white, keep a contrast of 4.5 in both schemes.
  primaryShade: 8,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  // 24 pixels high, the least that a thumb hits.
  components: { Switch: Switch.extend({ defaultProps: { size: 'md' } }) },
});

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={styleNonce}>
      <I18nProvider i18n={i18n}>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </I18nProvider>
    </MantineProvider>
  );
}
