import { afterEach, expect, it, vi } from 'vitest';

import { Chat } from './chat';

afterEach(() => {
  vi.unstubAllGlobals();
});

it.each(['{"id"', '<html>'])('an answer that is not whole is none: %s', async (body) => {
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status: 201 })));
  const sent = new Chat({ url: 'https://semblance.example', token: () => 'secret' }).sendMessage({
    connection_id: 'c',
    content: 'Hi!',
    message_type: 'text',
  });
  await expect(sent).rejects.toMatchObject({ status: 0, code: 'unreachable' });
});
