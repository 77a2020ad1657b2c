import { Card, SimpleGrid, Text } from '@mantine/core';

import classes from './Figures.module.css';

export interface Figure {
  label: string;
  value: string;
  note?: string | null;
}

/** A few figures at a glance. */
export function Figures({ figures }: { figures: Figure[] }) {
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 5 }} spacing="sm" component="dl" className={classes.figures}>
      {figures.map(({ label, value, note }) => (
        <Card key={label} withBorder padding="sm">
          <Text component="dt" size="sm" c="dimmed">
            {label}
          </Text>
          <dd className={classes.figure}>
            <Text component="span" size="xl" fw={600} className={classes.value}>
              {value}
            </Text>
            <Text component="span" size="sm" c="dimmed" display="block" mih={20}>
              {note}
            </Text>
          </dd>
        </Card>
      ))}
    </SimpleGrid>
  );
}
