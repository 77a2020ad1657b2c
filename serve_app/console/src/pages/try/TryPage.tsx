import { Stack, Tabs } from '@mantine/core';

import { PageTitle } from '../../parts/PageTitle';
import { useWords } from '../../words/useWords';
import { CompareTab } from './CompareTab';
import { LookTab } from './LookTab';

/** What the product does, tried with photos. */
export function TryPage() {
  const words = useWords();
  return (
    <Stack gap="md" maw={1200}>
      <PageTitle title={words('try.title')} purpose={words('try.purpose')} />
      <Tabs defaultValue="look" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="look">{words('try.tab-look')}</Tabs.Tab>
          <Tabs.Tab value="compare">{words('try.tab-compare')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="look">
          <LookTab />
        </Tabs.Panel>
        <Tabs.Panel value="compare">
          <CompareTab />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
