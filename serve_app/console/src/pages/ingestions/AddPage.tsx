import { Anchor, Stack, Tabs, Title } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';

import { useIngestions } from '../../api/ingestions';
import { oneOf } from '../../parts/address';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak, moreOf } from '../../parts/LongList';
import { PageTitle } from '../../parts/PageTitle';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { IngestionTable } from './IngestionTable';
import { TABS } from './search';
import { ServerForm } from './ServerForm';
import { UploadForm } from './UploadForm';

const route = getRouteApi('/gallery/add');

/** Pictures become celebrities: uploaded, or from the server; below, what was added before. */
export function AddPage() {
  const words = useWords();
  const { tab = TABS[0] } = route.useSearch();
  const navigate = route.useNavigate();
  const list = useIngestions();
  const first = list.data?.pages[0];
  const found = list.data?.pages.flatMap((page) => page.ingestions) ?? [];
  const open = (id: string) => void navigate({ to: '/gallery/add/$ingestionId', params: { ingestionId: id } });
  return (
    <Stack gap="md" maw={1400}>
      <Anchor component={Link} to="/gallery" size="sm">
        {words('ingestions.to-gallery')}
      </Anchor>
      <PageTitle title={words('ingestions.title')} purpose={words('ingestions.purpose')} />
      {list.error && !first && <ErrorState error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Working />}
      {first && (
        <>
          <Tabs
            value={tab}
            onChange={(chosen) => void navigate({ search: { tab: oneOf(TABS, chosen) }, resetScroll: false })}
            maw={760}
          >
            <Tabs.List mb="md">
              <Tabs.Tab value="upload">{words('ingestions.tab-upload')}</Tabs.Tab>
              <Tabs.Tab value="server">{words('ingestions.tab-server')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="upload">
              <UploadForm partBytes={first.part_bytes} mostBytes={first.upload_bytes} onStarted={open} />
            </Tabs.Panel>
            <Tabs.Panel value="server">
              <ServerForm roots={first.roots} onStarted={open} />
            </Tabs.Panel>
          </Tabs>
          <Title order={2} size="h4" mt="sm">
            {words('ingestions.before')}
          </Title>
          {found.length === 0 ? (
            <EmptyState title={words('ingestions.none')}>{words('ingestions.none-what')}</EmptyState>
          ) : (
            <IngestionTable
              ingestions={found}
              more={moreOf(list)}
            />
          )}
          <ListBreak list={list} />
        </>
      )}
    </Stack>
  );
}
