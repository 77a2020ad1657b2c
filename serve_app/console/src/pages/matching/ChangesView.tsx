import { Badge, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';

import { Picture } from '../../parts/Picture';
import { useNumber, usePercent, useWords } from '../../words/useWords';
import { type Change, type Kind, KINDS, type Lists } from './changes';
import classes from './ChangesView.module.css';

/** What appears, vanishes and moves, each with its number and examples. */
export function ChangesView({ counts, lists }: { counts: Record<Kind, number>; lists: Lists }) {
  const words = useWords();
  const number = useNumber();
  return (
    <Stack gap="lg">
      {KINDS.map((kind) => (
        <section key={kind} aria-label={words(`matching.${kind}`)}>
          <Group gap="xs" mb="xs">
            <Title order={3} size="h5">
              {words(`matching.${kind}`)}
            </Title>
            <Badge variant="default" size="md">
              {number(counts[kind])}
            </Badge>
          </Group>
          {lists[kind].length === 0 ? (
            <Text size="sm" c="dimmed">
              {words('matching.none')}
            </Text>
          ) : (
            <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="sm" component="ul" className={classes.list}>
              {lists[kind].map((change) => (
                <Pair key={change.id} kind={kind} change={change} />
              ))}
            </SimpleGrid>
          )}
          {counts[kind] > lists[kind].length && lists[kind].length > 0 && (
            <Text size="sm" c="dimmed" mt="xs">
              {words('matching.more', { count: number(counts[kind] - lists[kind].length) })}
            </Text>
          )}
        </section>
      ))}
    </Stack>
  );
}

function Pair({ kind, change: { left, right, scores, places } }: { kind: Kind; change: Change }) {
  const words = useWords();
  const percent = usePercent();
  const name = (each: string | null) => each ?? words('matching.nameless');
  const [from, to] = places;
  const place =
    kind === 'move' && from !== null && to !== null
      ? words('matching.moves', { from, to })
      : to !== null
        ? words('matching.new-place', { place: to })
        : words('matching.old-place', { place: from ?? 0 });
  return (
    <li className={classes.pair}>
      {[left, right].map((side, at) => (
        <div key={at} className={classes.face}>
          <Picture src={side.picture} alt="" />
        </div>
      ))}
      <div className={classes.words}>
        <Text size="sm" fw={500} truncate>
          {words('matching.pair', { left: name(left.name), right: name(right.name) })}
        </Text>
        <Text size="sm" className={classes.numbers}>
          {words('matching.scores', { before: percent(scores[0]), after: percent(scores[1]) })}
        </Text>
        <Text size="sm" c="dimmed">
          {place}
        </Text>
      </div>
    </li>
  );
}
