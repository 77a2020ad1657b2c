import { Button, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { type Finding, useFindings } from '../../api/system';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { Dot } from '../../parts/Dot';
import classes from './FindingsCard.module.css';
import { Sentence } from '../../parts/Sentence';
import { Section } from '../../parts/Section';

/** What `semblance doctor` finds that also applies to a running service. */
export function FindingsCard() {
  const words = useWords();
  const [all, { toggle }] = useDisclosure();
  const { data, error, isFetching, isPending, refetch } = useFindings();
  const wrong = data?.filter(({ level }) => level !== 'ok') ?? [];
  return (
    <Section
      title={words('system.findings')}
      aside={
        <Button size="xs" variant="default" loading={isFetching} onClick={() => void refetch()}>
          {words('system.check-again')}
        </Button>
      }
    >
      {isPending && <Working label={words('system.checking')} />}
      {error && <ErrorState error={error} />}
      {data && (
        <>
          <Stack gap="xs" role="status">
            {wrong.length === 0 && (
              <Group gap="xs" wrap="nowrap" align="baseline">
                <Dot level="ok" />
                <Text size="sm">{words('system.all-well', { count: data.length })}</Text>
              </Group>
            )}
            {wrong.length > 0 && <FindingList findings={wrong} />}
          </Stack>
          <Group>
            <Button size="compact-sm" variant="subtle" aria-expanded={all} onClick={toggle}>
              {words(all ? 'system.findings-less' : 'system.findings-all')}
            </Button>
          </Group>
          {all && <FindingList findings={data.filter(({ level }) => level === 'ok')} />}
        </>
      )}
    </Section>
  );
}

function FindingList({ findings }: { findings: Finding[] }) {
  const words = useWords();
  return (
    <Stack gap="xs">
      {findings.map(({ level, subject, text, fix }) => (
        <Group key={`${subject} ${text}`} gap="xs" wrap="nowrap" align="baseline">
          <Dot level={level} />
          <Text size="sm" className={classes.text}>
            <Text span fw={600} inherit>
              {level === 'ok' ? subject : `${subject}, ${words(`system.level.${level}`)}`}
            </Text>
            {': '}
            <Sentence text={text} />
            {fix !== null && (
              <Text span c="dimmed" display="block" inherit>
                <Sentence text={fix} />
              </Text>
            )}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
