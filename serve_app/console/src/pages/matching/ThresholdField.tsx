import { Group, Slider, Stack, Text, Title } from '@mantine/core';

import type { Scores } from '../../api/matching';
import { useNumber, usePercent, useWords } from '../../words/useWords';
import { below, total } from './scores';
import { ScoreChart } from './ScoreChart';
import classes from './ScoreChart.module.css';

interface Props {
  threshold: number;
  scores: Scores | undefined;
  onChange: (threshold: number) => void;
}

/** The lowest score that is kept, set on the histogram of the scores there are. */
export function ThresholdField({ threshold, scores, onChange }: Props) {
  const words = useWords();
  const percent = usePercent();
  const number = useNumber();
  const users = scores?.user_matches.counts ?? [];
  const celebrities = scores?.celebrity_matches.counts ?? [];
  const all = total(users) + total(celebrities);
  const sampled = scores && (scores.user_matches.sampled || scores.celebrity_matches.sampled);
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Title order={2} size="h4">
          {words('matching.threshold')}
        </Title>
        <Text fw={500} className={classes.number}>
          {percent(threshold)}
        </Text>
      </Group>
      <Text size="sm" c="dimmed">
        {words('matching.threshold-what')}
      </Text>
      <div>
        <ScoreChart users={users} celebrities={celebrities} threshold={threshold} />
        <Slider
          min={0}
          max={1}
          step={0.01}
          value={threshold}
          label={null}
          thumbLabel={words('matching.threshold')}
          thumbValueText={percent(threshold)}
          onChange={onChange}
        />
        <Group justify="space-between" mt={4} aria-hidden="true">
          {[0, 0.5, 1].map((at) => (
            <Text key={at} size="xs" c="dimmed">
              {percent(at)}
            </Text>
          ))}
        </Group>
      </div>
      <Group gap="md">
        <Text size="sm" className={classes.users}>
          {words('matching.users-count', { count: total(users) })}
        </Text>
        <Text size="sm" className={classes.celebrities}>
          {words('matching.celebrities-count', { count: number(total(celebrities)) })}
        </Text>
      </Group>
      {scores && (
        <Text size="sm" role="status">
          {all === 0
            ? words('matching.no-scores')
            : words('matching.below', {
                below: number(below(users, threshold) + below(celebrities, threshold)),
                all: number(all),
              })}
          {sampled && ` ${words('matching.sampled')}`}
        </Text>
      )}
    </Stack>
  );
}
