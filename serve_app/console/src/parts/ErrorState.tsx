import { Alert, Button, Code, Text } from '@mantine/core';

import { ApiError } from '../api/client';
import { useWords } from '../words/useWords';
import { Refusal } from './refusals/Refusal';

interface Props {
  error: Error;
  /** Try once more. */
  again?: () => void;
}

/** What went wrong, with the request's id for the service's log. */
export function ErrorState({ error, again }: Props) {
  const words = useWords();
  const told = error instanceof ApiError ? error : undefined;
  return (
    <Alert variant="default" title={words('error.title')} role="alert">
      <Refusal error={error} />
      {told?.requestId !== undefined && (
        <Text size="xs" c="dimmed" mt={4}>
          {words('error.request')} <Code>{told.requestId}</Code>
        </Text>
      )}
      {again && (
        <Button size="xs" variant="default" mt="sm" onClick={again}>
          {words('error.again')}
        </Button>
      )}
    </Alert>
  );
}
