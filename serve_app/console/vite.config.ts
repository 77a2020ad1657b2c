import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';

import { lingui } from '@lingui/vite-plugin';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Writes each script and style compressed beside it, so that the server need not compress. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    writeBundle({ dir }, bundle) {
      for (const name of Object.keys(bundle).filter((file) => /\.(js|css|svg)$/.test(file))) {
        const file = join(dir ?? '', name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: constants.Z_BEST_COMPRESSION }));
      }
    },
  };
}

export default defineConfig({
  base: '/console/',
  plugins: [react(), lingui(), compressed()],
  build: {
    // A data address would need a wider content security policy than 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Those that know light-dark(): what it is turned into for others does not see the scheme that Mantine sets.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    chunkSizeWarningLimit: 700,
  },
  // `npx vite` for the pages alone, on a service that runs already.
  server: {
    proxy: Object.fromEntries(
      ['/api', '/analyze-faces', '/lookalikes', '/compare-photos', '/render-photo', '/objects', '/openapi.json'].map((path) => [
        path,
        { target: process.env.SEMBLANCE_URL ?? 'http://127.0.0.1:8000', ws: true, xfwd: false },
      ]),
    ),
    fs: { allow: ['../..'] },
  },
  // What needs a document begins with `// @vitest-environment jsdom`.
  // A machine that is busy takes longer than the five seconds of the default.
  test: { include: ['src/**/*.test.{ts,tsx}'], testTimeout: 60_000 },
});
