import { Stack, Tabs } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';

import { oneOf } from '../../parts/address';
import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { AuditTab } from './AuditTab';
import { KeysTab } from './KeysTab';
import { OverviewTab } from './OverviewTab';
import { TABS } from './search';
import { SessionsTab } from './SessionsTab';

const route = getRouteApi('/system');

/** How the service is, who may use it, and what was changed. */
export function SystemPage() {
  const words = useWords();
  const { tab = TABS[0] } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <Stack gap="md" maw={1400}>
      <PageTitle title={words('system.title')} purpose={words('system.purpose')} />
      <Tabs value={tab} onChange={(chosen) => void navigate({ search: { tab: oneOf(TABS, chosen) } })} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="overview">{words('system.overview')}</Tabs.Tab>
          <Tabs.Tab value="keys">{words('system.keys')}</Tabs.Tab>
          <Tabs.Tab value="sessions">{words('system.sessions')}</Tabs.Tab>
          <Tabs.Tab value="audit">{words('system.audit')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="overview">
          <OverviewTab />
        </Tabs.Panel>
        <Tabs.Panel value="keys">
          <KeysTab />
        </Tabs.Panel>
        <Tabs.Panel value="sessions">
          <SessionsTab />
        </Tabs.Panel>
        <Tabs.Panel value="audit">
          <AuditTab />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
