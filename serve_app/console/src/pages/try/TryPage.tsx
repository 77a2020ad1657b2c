import { Stack, Tabs } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';

import { oneOf } from '../../parts/address';
import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { CompareTab, type Pair } from './CompareTab';
import { type Looked, LookTab } from './LookTab';
import { TABS } from './search';

const route = getRouteApi('/');

/** What the product does, tried with photos, which stay when the tab is changed. */
export function TryPage() {
  const words = useWords();
  const { tab = TABS[0] } = route.useSearch();
  const navigate = route.useNavigate();
  const [looked, setLooked] = useState<Looked>({ photos: [], chosen: undefined });
  const [pair, setPair] = useState<Pair>([undefined, undefined]);
  return (
    <Stack gap="md" maw={1200}>
      <PageTitle title={words('try.title')} purpose={words('try.purpose')} />
      <Tabs
        value={tab}
        onChange={(chosen) => void navigate({ search: { tab: oneOf(TABS, chosen) } })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="look">{words('try.tab-look')}</Tabs.Tab>
          <Tabs.Tab value="compare">{words('try.tab-compare')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="look">
          <LookTab looked={looked} onChange={setLooked} />
        </Tabs.Panel>
        <Tabs.Panel value="compare">
          <CompareTab pair={pair} onChange={setPair} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
