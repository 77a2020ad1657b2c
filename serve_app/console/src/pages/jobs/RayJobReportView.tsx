import { Button, Group, Stack, Text } from '@mantine/core';

import { useRayJobReport } from '../../api/jobs';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak } from '../../parts/LongList';
import { ShortTable } from '../../parts/ShortTable';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { entry, RESULTS } from './report';

/** What became of each input of a job, as far as its report has come. */
export function RayJobReportView({ id }: { id: string }) {
  const words = useWords();
  const report = useRayJobReport(id);
  if (report.isPending) return <Working />;
  if (report.isLoadingError) return <ErrorState error={report.error} again={() => void report.refetch()} />;
  const entries = report.data.pages.flatMap(({ lines }) => lines).map(entry);
  if (entries.length === 0) return <Text size="sm">{words('jobs.report-empty')}</Text>;
  return (
    <Stack gap="sm">
      <ShortTable
        label={words('jobs.report')}
        items={entries.map((each, place) => ({ ...each, place }))}
        itemKey={({ place }) => String(place)}
        columns={[
          { key: 'input', title: words('jobs.input'), cell: ({ input }) => input },
          {
            key: 'outcome',
            title: words('jobs.outcome'),
            cell: ({ outcome }) => (RESULTS.includes(outcome) ? words(`jobs.result.${outcome}`) : outcome),
          },
          { key: 'said', title: words('jobs.said'), cell: ({ reason }) => reason },
        ]}
      />
      <ListBreak list={report} />
      {report.hasNextPage && !report.isFetchNextPageError && (
        <Group justify="center">
          <Button variant="default" loading={report.isFetchingNextPage} onClick={() => void report.fetchNextPage()}>
            {words('jobs.report-more')}
          </Button>
        </Group>
      )}
    </Stack>
  );
}
