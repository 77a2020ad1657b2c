import '@mantine/core/styles.css';
import '@mantine/dropzone/styles.css';
import '@mantine/notifications/styles.css';
import './app/base.css';
import './words';

import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { whenSignedIn } from './api/session';
import { App } from './app/App';
import { styleNonce } from './app/nonce';

// For the styles that hold the page still behind a dialog.
setNonce(styleNonce());

// So that the answer is there when the pages are.
whenSignedIn();

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no root');
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
