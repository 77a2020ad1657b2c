import { Stack, Tabs } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';

import { oneOf } from '../../parts/address';
import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { MatchJobsTab } from './MatchJobsTab';
import { RayJobsTab } from './RayJobsTab';
import { TABS } from './search';
import { TextsTab } from './TextsTab';

const route = getRouteApi('/jobs');

/** What the service does in the background: match jobs, Ray jobs that somebody starts, and suggested texts. */
export function JobsPage() {
  const words = useWords();
  const { tab = TABS[0] } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <Stack gap="md" maw={1400}>
      <PageTitle title={words('jobs.title')} purpose={words('jobs.purpose')} />
      <Tabs value={tab} onChange={(chosen) => void navigate({ search: { tab: oneOf(TABS, chosen) } })} keepMounted={false}>
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
