import { Alert, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useState } from 'react';

import { type Celebrity, type Photo, useLook } from '../../api/faces';
import { ErrorState } from '../../parts/ErrorState';
import { Refusal } from '../../parts/refusals/Refusal';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { FacePanel } from './FacePanel';
import { LookalikeStrip } from './LookalikeStrip';
import { MarkedPhoto } from './MarkedPhoto';
import { RequestDrawer } from './RequestDrawer';
import { WhyMatch } from './WhyMatch';

/** One photo: its faces, what each is like, and who looks like it. */
export function LookView({ photo }: { photo: Photo }) {
  const words = useWords();
  const { data: look, error, isFetching, refetch } = useLook(photo);
  const [place, setPlace] = useState(0);
  const [celebrity, setCelebrity] = useState<Celebrity>();
  const chosen = look?.faces[place];
  return (
    <Stack gap="lg">
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <MarkedPhoto
          photo={photo}
          look={look}
          chosen={place}
          onChoose={(next) => {
            setPlace(next);
            setCelebrity(undefined);
          }}
        />
        <div aria-live="polite">
          {isFetching && <Working />}
          {!isFetching && error && <ErrorState error={error} again={() => void refetch()} />}
          {look?.faces.length === 0 && <Alert variant="default" title={words('try.no-face')}>{words('try.no-face-advice')}</Alert>}
          {look && chosen && <FacePanel face={chosen.face} number={look.faces.length > 1 ? place + 1 : null} />}
        </div>
      </SimpleGrid>
      {look?.problem && (
        <Alert variant="default" title={words('try.other-pack')}>
          <Refusal error={look.problem} />
        </Alert>
      )}
      {chosen && !look.problem && chosen.matches.length === 0 && <Text>{words('try.no-lookalikes')}</Text>}
      {chosen && chosen.matches.length > 0 && (
        <LookalikeStrip key={place} matches={chosen.matches} chosen={celebrity?.celebrity_id} onChoose={setCelebrity} />
      )}
      {look?.weights && chosen && celebrity && (
        <WhyMatch photo={photo} size={look.size} face={chosen.face} celebrity={celebrity} weights={look.weights} />
      )}
      {look && (
        <Group>
          <RequestDrawer
            call={{ path: look.call, files: [{ field: 'file', name: photo.file.name }] }}
            answer={look.answer}
          />
        </Group>
      )}
    </Stack>
  );
}
