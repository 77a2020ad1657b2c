import { Button, Group, Stack, Table, Text } from '@mantine/core';

import { useRayJobReport } from '../../api/jobs';
import { ErrorState } from '../../parts/ErrorState';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { entry } from './report';

/** What became of each input of a job, as far as its report has come. */
export function RayJobReportView({ id }: { id: string }) {
  const words = useWords();
  const report = useRayJobReport(id);
  if (report.isPending) return <Working />;
  if (report.error) return <ErrorState error={report.error} again={() => void report.refetch()} />;
  const entries = report.data.pages.flatMap(({ lines }) => lines).map(entry);
  if (entries.length === 0) return <Text size="sm">{words('jobs.report-empty')}</Text>;
  return (
    <Stack gap="sm">
      <Table.ScrollContainer minWidth={420}>
        <Table aria-label={words('jobs.report')} verticalSpacing="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{words('jobs.input')}</Table.Th>
              <Table.Th>{words('jobs.outcome')}</Table.Th>
              <Table.Th>{words('jobs.said')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {entries.map(({ input, outcome, reason }, place) => (
              <Table.Tr key={place}>
                <Table.Td>{input}</Table.Td>
                <Table.Td>{outcome}</Table.Td>
                <Table.Td>{reason}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {report.hasNextPage && (
        <Group justify="center">
          <Button variant="default" loading={report.isFetchingNextPage} onClick={() => void report.fetchNextPage()}>
            {words('jobs.report-more')}
          </Button>
        </Group>
      )}
    </Stack>
  );
}
