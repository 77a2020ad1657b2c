import { Grid, Stack } from '@mantine/core';

import { useSettings } from '../../api/matching';
import { ErrorState } from '../../parts/ErrorState';
import { PageTitle } from '../../parts/PageTitle';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { PreviewCard } from './PreviewCard';
import { RescoringCard } from './RescoringCard';
import { RulesCard } from './RulesCard';
import { useDraft } from './useDraft';

/** The rules of matching: what they are, what others would change, and applying them to what is stored. */
export function MatchingPage() {
  const words = useWords();
  const { data, error, refetch } = useSettings();
  const draft = useDraft(data);
  return (
    <Stack gap="md" maw={1400}>
      <PageTitle title={words('matching.title')} purpose={words('matching.purpose')} />
      {error && !draft ? <ErrorState error={error} again={() => void refetch()} /> : null}
      {!error && !draft && <Working />}
      {draft && (
        <Grid gap="md">
          <Grid.Col span={{ base: 12, md: 5 }}>
            <Stack gap="md">
              <RulesCard draft={draft} />
              <RescoringCard changed={draft.changed} />
            </Stack>
          </Grid.Col>
          <Grid.Col span={{ base: 12, md: 7 }}>
            <PreviewCard rules={draft.changed ? draft.rules : null} />
          </Grid.Col>
        </Grid>
      )}
    </Stack>
  );
}
