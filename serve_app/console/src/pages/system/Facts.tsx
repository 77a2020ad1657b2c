import { Text } from '@mantine/core';

import classes from './Facts.module.css';

/** Names and what they are. */
export function Facts({ facts }: { facts: (readonly [name: string, value: string])[] }) {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => [
        <Text key={`${name} name`} component="dt" size="sm" c="dimmed">
          {name}
        </Text>,
        <Text key={`${name} value`} component="dd" size="sm" className={classes.value}>
          {value}
        </Text>,
      ])}
    </dl>
  );
}
