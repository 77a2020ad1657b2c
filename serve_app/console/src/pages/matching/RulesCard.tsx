import { Button, Card, Group, Stack, Text, Title } from '@mantine/core';

import { useRescoring, useSaveRules, useScores } from '../../api/matching';
import { ErrorState } from '../../parts/ErrorState';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import { ThresholdField } from './ThresholdField';
import type { Draft } from './useDraft';
import { WeightSlider } from './WeightSlider';
import { canMove, FACTORS } from './weights';

/** The six weights and the threshold, to try and to save. */
export function RulesCard({ draft }: { draft: Draft }) {
  const words = useWords();
  const tell = useTell();
  const save = useSaveRules();
  const rescoring = useRescoring();
  const scores = useScores(rescoring.data);
  return (
    <Card withBorder component="section" aria-labelledby="rules">
      <Stack gap="lg">
        <div>
          <Title order={2} size="h4" id="rules">
            {words('matching.weights')}
          </Title>
          <Text size="sm" c="dimmed">
            {words('matching.weights-what')}
          </Text>
        </div>
        <Stack gap="sm">
          {FACTORS.map((factor) => (
            <WeightSlider
              key={factor}
              factor={factor}
              share={draft.shares[factor]}
              locked={draft.locked.has(factor)}
              movable={canMove(factor, draft.locked)}
              onMove={(weight) => {
                draft.move(factor, weight);
              }}
              onSettle={draft.settle}
              onLock={() => {
                draft.toggleLock(factor);
              }}
            />
          ))}
        </Stack>
        <ThresholdField threshold={draft.rules.threshold} scores={scores.data} onChange={draft.setThreshold} />
        {scores.error && <ErrorState error={scores.error} again={() => void scores.refetch()} />}
        <Group justify="flex-end">
          <Button variant="default" disabled={!draft.changed} onClick={draft.reset}>
            {words('matching.reset')}
          </Button>
          <Button
            disabled={!draft.changed}
            loading={save.isPending}
            onClick={() => {
              save.mutate(draft.rules, {
                onSuccess: () => {
                  draft.reset();
                  tell.done(words('matching.saved'));
                },
                onError: tell.failed,
              });
            }}
          >
            {words('matching.save')}
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}
