import { Stack, Text } from '@mantine/core';

import { useRayJobLog } from '../../api/jobs';
import { CodeBlock } from '../../parts/CodeBlock';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';

/** The end of a job's log. */
export function RayJobLogView({ id, live }: { id: string; live: boolean }) {
  const words = useWords();
  const { data, error, isPending, refetch } = useRayJobLog(id, live);
  if (isPending) return <Working />;
  if (error) return <ErrorState error={error} again={() => void refetch()} />;
  return (
    <Stack gap="xs">
      {data.truncated && (
        <Text size="sm" c="dimmed">
          {words('jobs.log-cut')}
        </Text>
      )}
      {data.text === '' ? <Text size="sm">{words('jobs.log-empty')}</Text> : <CodeBlock code={data.text} />}
    </Stack>
  );
}
