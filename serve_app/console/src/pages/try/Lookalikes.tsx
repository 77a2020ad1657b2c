import { Card, Group, Stack, Text, Title } from '@mantine/core';

import type { Lookalikes as Found } from '../../api/faces';
import { usePercent, useWords } from '../../words/useWords';
import classes from './Lookalikes.module.css';

/** The celebrities most like the largest face, best first. */
export function Lookalikes({ found }: { found: Found }) {
  const words = useWords();
  const percent = usePercent();
  if (found.matches.length === 0) return <Text>{words('try.no-lookalikes')}</Text>;
  return (
    <Stack gap="xs">
      <Title order={3} size="h4">
        {words('try.lookalikes')}
      </Title>
      <Group component="ul" className={classes.strip} gap="sm" align="stretch">
        {found.matches.map((celebrity) => (
          <Card component="li" key={celebrity.celebrity_id} withBorder padding="xs" className={classes.card}>
            <Card.Section>
              <img src={celebrity.thumbnail_url} alt="" width={160} height={160} className={classes.picture} />
            </Card.Section>
            <Text fw={500} size="sm" mt={4} truncate>
              {celebrity.name}
            </Text>
            <Text size="xs" c="dimmed">
              {words('try.similarity', { percent: percent(Math.max(0, celebrity.similarity)) })}
            </Text>
          </Card>
        ))}
      </Group>
    </Stack>
  );
}
