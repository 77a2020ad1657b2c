import { Alert, Button, Code, Text } from '@mantine/core';

import { ApiError } from '../api/client';
import { useWords } from '../words/useWords';
import { Sentence } from './Sentence';

interface Props {
  error: Error;
  /** Try once more. */
  again?: () => void;
}

/** What went wrong, in the service's own sentence, with the request's id for its log. */
export function ErrorState({ error, again }: Props) {
  const words = useWords();
  const told = error instanceof ApiError ? error : undefined;
  return (
    <Alert variant="default" title={words('error.title')} role="alert">
      <Text size="sm">{told?.status === 0 ? words('error.unreachable') : <Sentence text={error.message} />}</Text>
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
