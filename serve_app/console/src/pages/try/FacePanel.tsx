import { Alert, Card, ColorSwatch, Group, List, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

import type { Face } from '../../api/faces';
import { Bars } from '../../parts/Bars';
import { usePercent, useWords } from '../../words/useWords';
import classes from './FacePanel.module.css';

/** What was found of one face, and what a better photo would have. number: null where there is only one. */
export function FacePanel({ face, number }: { face: Face; number: number | null }) {
  const words = useWords();
  const percent = usePercent();
  const { yaw, pitch, roll } = face.pose;
  const { advice, blur_score: sharpness, illumination, overall } = face.quality;
  return (
    <Card withBorder padding="md">
      <Title order={2} size="h4" mb="sm">
        {number === null ? words('try.the-face') : words('try.face', { number })}
      </Title>
      {advice.length > 0 && (
        <Alert variant="default" mb="sm" p="sm" title={words('try.advice')}>
          <List size="sm" listStyleType={advice.length > 1 ? 'disc' : 'none'}>
            {advice.map((each) => (
              <List.Item key={each}>{words(`advice.${each}`)}</List.Item>
            ))}
          </List>
        </Alert>
      )}
      <dl className={classes.facts}>
        <Fact name={words('face.age')}>{words('face.years', { age: face.age })}</Fact>
        <Fact name={words('face.gender')}>{words(`gender.${face.gender}`)}</Fact>
        <Fact name={words('face.expression')}>
          {words(`expression.${face.expression.dominant}`)} ({percent(face.expression.confidence)})
        </Fact>
        <Fact name={words('face.skin-tone')}>
          <Group gap={6} wrap="nowrap">
            <ColorSwatch color={face.skin_tone.hex} size={14} />
            {face.skin_tone.hex}
          </Group>
        </Fact>
        <Fact name={words('face.pose')}>
          {words('face.degrees', { yaw: Math.round(yaw), pitch: Math.round(pitch), roll: Math.round(roll) })}
        </Fact>
        <Fact name={words('face.confidence')}>{percent(face.confidence)}</Fact>
      </dl>
      <Bars
        bars={[
          { label: words('face.quality'), share: overall },
          { label: words('face.sharpness'), share: sharpness },
          { label: words('face.light'), share: illumination },
          { label: words('face.symmetry'), share: face.symmetry_score },
        ]}
      />
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
