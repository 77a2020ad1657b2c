import { Alert, Anchor, Button, Group, Progress, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { getRouteApi, Link } from '@tanstack/react-router';

import { type Ingestion, useDiscardIngestion, useIngestion, useStartIngestion } from '../../api/ingestions';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { PageTitle } from '../../parts/PageTitle';
import { useActor } from '../../parts/useActor';
import { useTell } from '../../parts/useTell';
import { Working } from '../../parts/Working';
import { useNumber, useTime, useWords } from '../../words/useWords';
import { IngestionStatus } from './IngestionStatus';
import { Review } from './Review';

const route = getRouteApi('/gallery/add/$ingestionId');

/** One ingestion: how far it is, and what to do about the pictures that were not taken. */
export function IngestionPage() {
  const words = useWords();
  const { ingestionId } = route.useParams();
  const found = useIngestion(ingestionId);
  return (
    <Stack gap="md" maw={1400}>
      <Anchor component={Link} to="/gallery/add" size="sm">
        {words('ingestions.to-add')}
      </Anchor>
      {found.isPending && <Working />}
      {found.error && !found.data && <ErrorState error={found.error} again={() => void found.refetch()} />}
      {found.data && (
        <>
          <Head ingestion={found.data.ingestion} />
          {found.data.ingestion.refused > 0 && (
            <Review ingestion={found.data.ingestion} reasons={found.data.reasons} />
          )}
          {found.data.ingestion.state === 'done' && (
            <EmptyState title={words('ingestions.settled')}>
              <Button component={Link} to="/gallery" variant="default">
                {words('ingestions.to-gallery')}
              </Button>
            </EmptyState>
          )}
        </>
      )}
    </Stack>
  );
}

function Head({ ingestion }: { ingestion: Ingestion }) {
  const { id, source, state, message, created_at: at, started_by: by } = ingestion;
  const words = useWords();
  const named = useActor();
  const time = useTime();
  const tell = useTell();
  const navigate = route.useNavigate();
  const start = useStartIngestion();
  const discard = useDiscardIngestion();
  const [asking, ask] = useDisclosure();
  const continues = state === 'review' && ingestion.waiting > 0;
  return (
    <>
      <Group justify="space-between" align="flex-start">
        <PageTitle
          title={source ?? words('ingestions.uploaded')}
          purpose={words('ingestions.started', { time: time(at), by: named(by) })}
        />
        <Group gap="xs">
          {(state === 'receiving' || state === 'failed' || continues) && (
            <Button
              loading={start.isPending}
              onClick={() => {
                start.mutate(id, { onError: tell.failed });
              }}
            >
              {words(state === 'failed' ? 'ingestions.start-again' : 'ingestions.start')}
            </Button>
          )}
          {state !== 'running' && state !== 'done' && (
            <Button variant="default" loading={discard.isPending} onClick={ask.open}>
              {words('ingestions.discard-rest')}
            </Button>
          )}
        </Group>
      </Group>
      <Group gap="md">
        <IngestionStatus state={state} />
        <Counts ingestion={ingestion} />
      </Group>
      {state === 'receiving' && <Text c="dimmed">{words('ingestions.receiving-what')}</Text>}
      {state === 'running' && <Running ingestion={ingestion} />}
      {state === 'failed' && (
        <Alert variant="default" title={words('ingestions.failed')}>
          {message ?? words('ingestions.failed-what')}
        </Alert>
      )}
      <ConfirmDialog
        opened={asking}
        title={words('ingestions.discard-rest')}
        confirm={words('ingestions.discard-rest')}
        onClose={ask.close}
        onConfirm={() => {
          ask.close();
          // Also when a live event has taken it off the page before the answer came.
          void discard.mutateAsync(id).then(() => navigate({ to: '/gallery/add' }), tell.failed);
        }}
      >
        {words('ingestions.discard-rest-sure')}
      </ConfirmDialog>
    </>
  );
}

function Counts({ ingestion: { taken, present, refused } }: { ingestion: Ingestion }) {
  const words = useWords();
  const number = useNumber();
  const counts = [
    words('ingestions.count-taken', { count: taken, shown: number(taken) }),
    present > 0 && words('ingestions.count-present', { count: present, shown: number(present) }),
    refused > 0 && words('ingestions.count-refused', { count: refused, shown: number(refused) }),
  ];
  return <Text role="status">{counts.filter(Boolean).join(' · ')}</Text>;
}

function Running({ ingestion: { done, total } }: { ingestion: Ingestion }) {
  const words = useWords();
  const number = useNumber();
  const label = words(total === 0 || done === total ? 'ingestions.preparing' : 'ingestions.analyzing');
  return (
    <Stack gap={4} maw={760}>
      <Progress
        value={total > 0 ? (100 * done) / total : 100}
        animated={total === 0 || done === total}
        aria-label={label}
      />
      <Text size="sm" c="dimmed">
        {total > 0 && done < total
          ? words('ingestions.done-of', { done: number(done), total: number(total) })
          : label}
      </Text>
    </Stack>
  );
}
