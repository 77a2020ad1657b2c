import { Stack, Tabs } from '@mantine/core';

import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { MatchJobsTab } from './MatchJobsTab';
import { RayJobsTab } from './RayJobsTab';
import { TextsTab } from './TextsTab';

/** What the service does in the background: match jobs, Ray jobs that somebody starts, and suggested texts. */
export function JobsPage() {
  const words = useWords();
  return (
    <Stack gap="md" maw={1400}>
      <PageTitle title={words('jobs.title')} purpose={words('jobs.purpose')} />
      <Tabs defaultValue="match" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="match">{words('jobs.tab-match')}</Tabs.Tab>
          <Tabs.Tab value="ray">{words('jobs.tab-ray')}</Tabs.Tab>
          <Tabs.Tab value="texts">{words('jobs.tab-texts')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="match">
          <MatchJobsTab />
        </Tabs.Panel>
        <Tabs.Panel value="ray">
          <RayJobsTab />
        </Tabs.Panel>
        <Tabs.Panel value="texts">
          <TextsTab />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
