import { Code } from '@mantine/core';

/** A sentence of the service. What it has between backticks, such as a command, is shown as code. */
export function Sentence({ text }: { text: string }) {
  return text.split('`').map((part, place) => (place % 2 === 0 ? part : <Code key={place}>{part}</Code>));
}
