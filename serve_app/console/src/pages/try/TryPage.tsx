import { Alert, Loader, SimpleGrid, Stack } from '@mantine/core';

import { useAnalysis } from '../../api/faces';
import { ErrorState } from '../../parts/ErrorState';
import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { FacePanel } from './FacePanel';
import { Lookalikes } from './Lookalikes';
import { Photo } from './Photo';
import { PhotoDrop } from './PhotoDrop';

/** A photo in, and at once what is in it and who looks like it. */
export function TryPage() {
  const words = useWords();
  const analysis = useAnalysis();
  return (
    <Stack gap="lg" maw={1200}>
      <PageTitle title={words('try.title')} purpose={words('try.purpose')} />
      <PhotoDrop busy={analysis.isPending} onPhoto={analysis.mutate} />
      <div aria-live="polite">
        {analysis.isPending && <Loader aria-label={words('try.working')} />}
        {analysis.isError && <ErrorState error={analysis.error} />}
        {analysis.data && (
          <Stack gap="lg">
            <SimpleGrid cols={{ base: 1, md: 2 }}>
              <Photo photo={analysis.data.photo} faces={analysis.data.faces} />
              <Stack>
                {analysis.data.faces.faces.length === 0 && (
                  <Alert variant="default" title={words('try.no-face')}>{words('try.no-face-advice')}</Alert>
                )}
                {analysis.data.faces.faces.map((face, place) => (
                  <FacePanel key={face.bbox.join()} face={face} number={place + 1} />
                ))}
              </Stack>
            </SimpleGrid>
            {analysis.data.lookalikes && <Lookalikes found={analysis.data.lookalikes} />}
          </Stack>
        )}
      </div>
    </Stack>
  );
}
