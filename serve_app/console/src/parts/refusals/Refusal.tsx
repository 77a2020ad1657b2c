import { Text } from '@mantine/core';

import { Sentence } from '../Sentence';
import type { Refused } from './refusals';
import { useRefusal } from './useRefusal';

/** What the service refused or failed to do, in the language of the page. */
export function Refusal({ error }: { error: Error | Refused }) {
  const { text, own } = useRefusal()(error);
  return (
    <>
      <Text component="span" display="block" size="sm">
        <Sentence text={text} />
      </Text>
      {own !== undefined && (
        <Text component="span" display="block" size="xs" c="dimmed" mt={4} lang="en">
          <Sentence text={own} />
        </Text>
      )}
    </>
  );
}
