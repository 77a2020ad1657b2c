import { Card, ColorSwatch, Group, SimpleGrid, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

import type { Face } from '../../api/faces';
import { usePercent, useWords } from '../../words/useWords';
import { advice } from './advice';

/** What was found of one face. */
export function FacePanel({ face, number }: { face: Face; number: number }) {
  const words = useWords();
  const percent = usePercent();
  const hint = advice(face);
  const { yaw, pitch, roll } = face.pose;
  return (
    <Card withBorder>
      <Title order={3} size="h5" mb="xs">
        {words('try.face', { number })}
      </Title>
      <SimpleGrid cols={{ base: 2, sm: 3 }} spacing="xs" component="dl" m={0}>
        <Fact name={words('face.age')}>{words('face.years', { age: face.age })}</Fact>
        <Fact name={words('face.gender')}>{words(`gender.${face.gender}`)}</Fact>
        <Fact name={words('face.expression')}>
          {words(`expression.${face.expression.dominant}`)} ({percent(face.expression.confidence)})
        </Fact>
        <Fact name={words('face.quality')}>{percent(face.quality.overall)}</Fact>
        <Fact name={words('face.symmetry')}>{percent(face.symmetry_score)}</Fact>
        <Fact name={words('face.skin-tone')}>
          <Group gap={6}>
            <ColorSwatch color={face.skin_tone.hex} size={14} />
            {face.skin_tone.hex}
          </Group>
        </Fact>
        <Fact name={words('face.pose')}>
          {words('face.degrees', { yaw: Math.round(yaw), pitch: Math.round(pitch), roll: Math.round(roll) })}
        </Fact>
        <Fact name={words('face.confidence')}>{percent(face.confidence)}</Fact>
      </SimpleGrid>
      {hint !== undefined && (
        <Text size="sm" c="orange" mt="xs">
          {words(`advice.${hint}`)}
        </Text>
      )}
    </Card>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <Text component="dt" size="xs" c="dimmed">
        {name}
      </Text>
      <Text component="dd" size="sm" m={0}>
        {children}
      </Text>
    </div>
  );
}
