// A program that uses the client: it writes what it is told as lines of JSON, and answers to "Second".
const [module, url, token, connection] = process.argv.slice(2);
const { Chat } = await import(module);

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const chat = new Chat({ url, token: () => token });

const stop = chat.subscribeToMessages(connection, {
  onMessage: async ({ content }) => {
    say({ message: content });
    if (content !== 'Second') return;
    say({ sent: await chat.sendMessage({ connection_id: connection, content: 'Third', message_type: 'text' }) });
    const unknown = { connection_id: crypto.randomUUID(), content: 'Nowhere', message_type: 'text' };
    await chat.sendMessage(unknown).catch(({ status, code, message }) => say({ status, code, message }));
  },
  onReset: () => say({ reset: true }),
  onState: (state) => say({ state }),
});

// Ends when nothing is left to do.
process.stdin.once('data', () => {
  stop();
  process.stdin.destroy();
});
