import { Stack, Switch, Text } from '@mantine/core';

import { useSettings } from '../../api/matching';
import { type Texts, type TextSwitch, useSwitchTexts, useTextCalls, useTexts } from '../../api/texts';
import { ErrorState } from '../../parts/ErrorState';
import { NumberTable } from '../../parts/NumberTable';
import { Section } from '../../parts/Section';
import { useTell } from '../../parts/useTell';
import { Working } from '../../parts/Working';
import { useNumber, useTime, useWords } from '../../words/useWords';
import { byKind } from './calls';
import { Figures } from './Figures';
import { useQueueFigures, useSeconds } from './useQueueFigures';

const DAYS = 30;

/** Suggested texts: whether there are any, who writes them, how their queue is doing and what they use. */
export function TextsTab() {
  const words = useWords();
  const texts = useTexts();
  if (texts.isPending) return <Working />;
  if (texts.error) return <ErrorState error={texts.error} again={() => void texts.refetch()} />;
  return (
    <Stack gap="md">
      <Switched setting="text_generation" label={words('texts.on')} what={words('texts.on-what')} />
      <Author texts={texts.data} />
      <QueueOfTexts texts={texts.data} />
      <TextCalls />
      <SearchInTexts texts={texts.data} />
      <TextFailures texts={texts.data} />
    </Stack>
  );
}

/** Switches something on or off for everybody. what: what that means. */
function Switched({ setting, label, what }: { setting: TextSwitch; label: string; what: string }) {
  const tell = useTell();
  const settings = useSettings();
  const change = useSwitchTexts(setting);
  return (
    <Switch
      label={label}
      description={what}
      checked={settings.data?.[setting] ?? false}
      disabled={settings.data === undefined || change.isPending}
      onChange={(event) => {
        change.mutate(event.currentTarget.checked, { onError: tell.failed });
      }}
    />
  );
}

function Author({ texts: { model, server, daily_tokens: most, moderation } }: { texts: Texts }) {
  const words = useWords();
  const number = useNumber();
  return (
    <Text size="sm" maw={760}>
      {model === null || server === null ? words('texts.templates') : words('texts.by-model', { model, server })}{' '}
      {most !== null && words('texts.budget', { most: number(most) })}{' '}
      {words(moderation === 'provider' ? 'texts.judged-by-provider' : 'texts.judged-by-words')}
    </Text>
  );
}

function SearchInTexts({ texts: { embedding_model: model, server } }: { texts: Texts }) {
  const words = useWords();
  return (
    <Section title={words('texts.search')}>
      <Switched setting="profile_search" label={words('texts.profiles')} what={words('texts.profiles-what')} />
      <Switched setting="message_search" label={words('texts.messages')} what={words('texts.messages-what')} />
      <Text size="sm">
        {model === null || server === null
          ? words('texts.vectors-here')
          : words('texts.vectors-by', { model, server })}
      </Text>
    </Section>
  );
}

function QueueOfTexts({ texts: { queue, blocked_words: blocked } }: { texts: Texts }) {
  const words = useWords();
  const number = useNumber();
  const figures = useQueueFigures();
  const seconds = useSeconds();
  return (
    <Figures
      figures={[
        ...figures(queue),
        {
          label: words('texts.duration'),
          value: seconds(queue.average_total_seconds),
          note: words('jobs.duration-what'),
        },
        {
          label: words('texts.blocked'),
          value: blocked === null ? '–' : number(blocked),
          note: words(blocked === null ? 'texts.blocked-unknown' : 'texts.blocked-what'),
        },
      ]}
    />
  );
}

function TextCalls() {
  const words = useWords();
  const number = useNumber();
  const calls = useTextCalls(DAYS);
  const found = byKind(calls.data ?? []);
  return (
    <Section title={words('texts.calls', { days: DAYS })}>
      {calls.error && <ErrorState error={calls.error} again={() => void calls.refetch()} />}
      {calls.data && found.length === 0 && <Text size="sm">{words('texts.calls-none')}</Text>}
      {found.length > 0 && (
        <NumberTable
          label={words('texts.calls', { days: DAYS })}
          columns={[
            words('jobs.kind'),
            words('texts.completed'),
            words('jobs.failed'),
            words('texts.tokens-in'),
            words('texts.tokens-out'),
          ]}
          rows={found.map(({ kind, model, completed, failed, tokensIn, tokensOut }) => ({
            key: `${kind} ${model}`,
            cells: [
              words('texts.kind-by', { kind: words(`texts.kind.${kind}`), model }),
              ...[completed, failed, tokensIn, tokensOut].map(number),
            ],
          }))}
        />
      )}
    </Section>
  );
}

function TextFailures({ texts: { queue } }: { texts: Texts }) {
  const words = useWords();
  const number = useNumber();
  const time = useTime();
  if (queue.failures.length === 0) return null;
  return (
    <Section title={words('texts.failures')}>
      <NumberTable
        label={words('texts.failures')}
        columns={[words('texts.reason'), words('texts.how-often'), words('texts.latest')]}
        rows={queue.failures.map(({ message, count, latest }) => ({
          key: message ?? '',
          cells: [message ?? '–', number(count), latest === null ? '–' : time(latest)],
        }))}
      />
    </Section>
  );
}
