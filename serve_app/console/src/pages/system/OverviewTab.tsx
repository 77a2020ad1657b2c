import { SimpleGrid, Stack } from '@mantine/core';

import { useSystem } from '../../api/system';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { DatabaseCard } from './DatabaseCard';
import { DeploymentsCard } from './DeploymentsCard';
import { FindingsCard } from './FindingsCard';
import { PackCard } from './PackCard';
import { PicturesCard } from './PicturesCard';
import { TrafficCard } from './TrafficCard';
import { VersionsCard } from './VersionsCard';

/** The service at a glance. */
export function OverviewTab() {
  const { data, error, isPending, refetch } = useSystem();
  return (
    <Stack gap="md">
      <FindingsCard />
      {isPending && <Working />}
      {error && !data && <ErrorState error={error} again={() => void refetch()} />}
      {data && (
        <>
          <SimpleGrid cols={{ base: 1, xl: 2 }} spacing="md">
            <DeploymentsCard deployments={data.deployments} problem={data.problem} />
            <TrafficCard routes={data.routes} />
          </SimpleGrid>
          <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
            <PackCard pack={data.pack} />
            <PicturesCard pictures={data.pictures} />
            <VersionsCard versions={data.versions} database={data.database} />
          </SimpleGrid>
          <DatabaseCard database={data.database} />
        </>
      )}
    </Stack>
  );
}
