import { Stack, Text, Title } from '@mantine/core';
import { useEffect } from 'react';

/** The heading of a page, which is also the title of its tab. */
export function PageTitle({ title, purpose }: { title: string; purpose?: string }) {
  useEffect(() => {
    document.title = `${title} · Semblance`;
  }, [title]);
  return (
    <Stack gap={4}>
      <Title order={1} size="h2">
        {title}
      </Title>
      {purpose !== undefined && <Text c="dimmed">{purpose}</Text>}
    </Stack>
  );
}
