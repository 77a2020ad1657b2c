import { Button, Group, NativeSelect, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';

import { type Decision, type Ingestion, useDecide, useRefusals } from '../../api/ingestions';
import { ConfirmDialog } from '../../parts/ConfirmDialog';
import { ErrorState } from '../../parts/ErrorState';
import { FilterBar } from '../../parts/FilterBar';
import { ListBreak, moreOf } from '../../parts/LongList';
import { useTell } from '../../parts/useTell';
import { VirtualGrid } from '../../parts/VirtualGrid';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { CAPTION_PX, CARD_PX, RefusalCard } from './RefusalCard';

interface Props {
  ingestion: Ingestion;
  /** How many pictures there are for each reason. */
  reasons: Record<string, number>;
}

/** The next page is fetched when so few pictures are left: some windows, for those who scroll fast. */
const AHEAD = 100;

const DECISIONS: Partial<Record<string, Decision[]>> = {
  several_faces: ['largest', 'discard'],
  low_quality: ['anyway', 'discard'],
  failed: ['again', 'discard'],
};

/** The pictures that were not taken, each with the reason and what can be done, alone or for all of a reason. */
export function Review({ ingestion, reasons }: Props) {
  const words = useWords();
  const tell = useTell();
  const [chosen, setChosen] = useState('');
  const [asking, setAsking] = useState(false);
  // A reason of which nothing is left is no choice any more.
  const outcome = reasons[chosen] === undefined ? null : chosen;
  const list = useRefusals(ingestion.id, outcome);
  const refusals = list.data?.pages.flatMap((page) => page.refusals) ?? [];
  const decide = useDecide(ingestion.id);
  const count = outcome === null ? ingestion.refused : (reasons[outcome] ?? 0);
  const all = (decision: Decision) => {
    decide.mutate({ decision, ids: null, outcome }, { onError: tell.failed });
  };
  return (
    <Stack gap="sm">
      <Title order={2} size="h4" mt="sm">
        {words('ingestions.not-taken')}
      </Title>
      <FilterBar label={words('ingestions.not-taken')}>
        <NativeSelect
          label={words('ingestions.reason')}
          value={outcome ?? ''}
          data={[
            { value: '', label: words('ingestions.any-reason') },
            ...Object.entries(reasons).map(([value, number]) => ({
              value,
              label: `${words(`ingestions.reason.${value}`)} (${number})`,
            })),
          ]}
          onChange={(event) => {
            setChosen(event.currentTarget.value);
          }}
        />
        <Group gap="xs">
          {((outcome === null ? undefined : DECISIONS[outcome]) ?? (['discard'] as Decision[])).map((decision) => (
            <Button
              key={decision}
              variant="default"
              disabled={decide.isPending}
              onClick={() => {
                if (decision === 'discard') setAsking(true);
                else all(decision);
              }}
            >
              {words(`ingestions.all.${decision}`, { count })}
            </Button>
          ))}
        </Group>
      </FilterBar>
      {ingestion.waiting > 0 && (
        <Text size="sm" c="dimmed" role="status">
          {words('ingestions.waiting', { count: ingestion.waiting })}
        </Text>
      )}
      {list.isPending && <Working />}
      {list.error && refusals.length === 0 && <ErrorState error={list.error} again={() => void list.refetch()} />}
      <VirtualGrid
        label={words('ingestions.not-taken')}
        count={refusals.length}
        total={count}
        cellWidth={CARD_PX}
        captionHeight={CAPTION_PX}
        at={(place) => refusals[place]}
        onShown={(_, last) => {
          if (last >= refusals.length - AHEAD) moreOf(list)?.();
        }}
      >
        {(refusal) => (
          <RefusalCard
            key={refusal.id}
            ingestion={ingestion.id}
            refusal={refusal}
            busy={decide.isPending}
            onDecide={(decision) => {
              decide.mutate({ decision, ids: [refusal.id], outcome: null }, { onError: tell.failed });
            }}
          />
        )}
      </VirtualGrid>
      <ListBreak list={list} />
      <ConfirmDialog
        opened={asking}
        title={words('ingestions.all.discard', { count })}
        confirm={words('ingestions.decision.discard')}
        onClose={() => {
          setAsking(false);
        }}
        onConfirm={() => {
          setAsking(false);
          all('discard');
        }}
      >
        {words('ingestions.discard-sure')}
      </ConfirmDialog>
    </Stack>
  );
}
