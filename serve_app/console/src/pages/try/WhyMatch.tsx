import { Card, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';

import { type Celebrity, type Face, type Factor, type Photo, type Size, useShown, type Weights } from '../../api/faces';
import { Bars } from '../../parts/Bars';
import { usePercent, useWords } from '../../words/useWords';
import { AlignedFace } from './AlignedFace';
import { fivePoints } from './alignment';

/** Below the strip it may be out of sight. */
function reveal(card: HTMLElement | null): void {
  card?.scrollIntoView({ block: 'nearest' });
}

const FACTORS: Factor[] = ['embedding', 'geometry', 'age', 'symmetry', 'skin_tone', 'expression'];

interface Props {
  photo: Photo;
  size: Size | null;
  face: Face;
  celebrity: Celebrity;
  weights: Weights;
}

/** The two faces laid side by side, and the factors of their score with the weight of each. */
export function WhyMatch({ photo, size, face, celebrity, weights }: Props) {
  const words = useWords();
  const percent = usePercent();
  const shown = useShown(photo);
  return (
    <Card withBorder component="section" aria-labelledby="why" ref={reveal}>
      <Title order={2} size="h4" mb="sm" id="why">
        {words('try.why', { name: celebrity.name })}
      </Title>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Group grow preventGrowOverflow={false} gap="xs" align="flex-start" wrap="nowrap">
          <AlignedFace src={shown} name={words('try.your-photo')} points={fivePoints(face.landmarks_68)} size={size} />
          <AlignedFace src={celebrity.image_url} name={celebrity.name} points={celebrity.alignment_points} />
        </Group>
        <Stack gap="sm" justify="center">
          <Bars
            bars={FACTORS.map((factor) => ({
              label: words(`try.factor.${factor}`),
              share: celebrity.factors[factor],
              text: words('try.weighted', {
                percent: percent(celebrity.factors[factor]),
                weight: percent(weights[factor]),
              }),
            }))}
          />
          <Text fw={500}>{words('try.score', { percent: percent(celebrity.similarity_score) })}</Text>
          <Text size="sm" c="dimmed">
            {words('try.score-meaning')}
          </Text>
        </Stack>
      </SimpleGrid>
    </Card>
  );
}
