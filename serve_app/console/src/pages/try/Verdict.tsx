import { Card, Group, SimpleGrid, Stack, Text, ThemeIcon, Title } from '@mantine/core';

import { type Comparison, type Photo, useShown } from '../../api/faces';
import { useNumber, usePercent, useWords } from '../../words/useWords';
import { AlignedFace } from './AlignedFace';
import { useRarity } from './useRarity';
import classes from './Verdict.module.css';

/** Whether two faces are the same person, by which threshold, and how sure that is. */
export function Verdict({ found, a, b }: { found: Comparison; a: Photo; b: Photo }) {
  const words = useWords();
  const percent = usePercent();
  const number = useNumber();
  const rarity = useRarity();
  const [shownA, shownB] = [useShown(a), useShown(b)];
  const { similarity, probability, decision, face_a: faceA, face_b: faceB } = found;
  const { same_person: same, threshold, false_match_rate: rate } = decision;
  return (
    <Card withBorder>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Group grow preventGrowOverflow={false} gap="xs" align="flex-start" wrap="nowrap">
          <AlignedFace
            src={shownA}
            name={words('compare.first')}
            points={faceA.alignment_points}
            size={faceA.image}
          />
          <AlignedFace
            src={shownB}
            name={words('compare.second')}
            points={faceB.alignment_points}
            size={faceB.image}
          />
        </Group>
        <Stack gap="sm" justify="center">
          <Group gap="xs" wrap="nowrap">
            <ThemeIcon color={same ? 'teal' : 'gray'} radius="xl" aria-hidden="true">
              <svg width="16" height="16" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="3">
                <path d={same ? 'm5 13 4 4L19 7' : 'M6 6l12 12M18 6 6 18'} />
              </svg>
            </ThemeIcon>
            <Title order={2} size="h3">
              {words(same ? 'compare.same' : 'compare.different')}
            </Title>
          </Group>
          <Scale similarity={similarity} threshold={threshold} />
          <Text size="sm">
            {words(same ? 'compare.above' : 'compare.below', {
              similarity: number(similarity),
              threshold: number(threshold),
            })}
          </Text>
          {probability !== null && (
            <Text size="sm">{words('compare.probability', { percent: percent(probability) })}</Text>
          )}
          {found.rarity && <Text size="sm">{rarity(found.rarity)}</Text>}
          <Text size="sm" c="dimmed">
            {rate === null ? words('compare.rate-unknown') : words('compare.rate', { percent: percent(rate) })}
          </Text>
          {Math.max(faceA.faces_found, faceB.faces_found) > 1 && (
            <Text size="sm" c="dimmed">
              {words('compare.largest')}
            </Text>
          )}
        </Stack>
      </SimpleGrid>
    </Card>
  );
}

/** The similarity from 0 to 1, with the threshold as a mark. */
function Scale({ similarity, threshold }: { similarity: number; threshold: number }) {
  const place = (value: number) => 100 * Math.min(1, Math.max(0, value));
  return (
    <svg viewBox="0 0 100 10" preserveAspectRatio="none" className={classes.scale} aria-hidden="true">
      <rect y="3" width="100" height="4" className={classes.track} />
      <rect y="3" width={place(similarity)} height="4" className={classes.share} />
      <line x1={place(threshold)} x2={place(threshold)} y1="0" y2="10" className={classes.threshold} />
    </svg>
  );
}
