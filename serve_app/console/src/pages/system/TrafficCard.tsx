import { Text } from '@mantine/core';

import type { RouteTraffic } from '../../api/system';
import { useNumber, useWords } from '../../words/useWords';
import { NumberTable } from '../../parts/NumberTable';
import { Section } from '../../parts/Section';
import { useDuration } from './useDuration';

/** Requests and how long they took, by route; null: they are not known now. */
export function TrafficCard({ routes }: { routes: RouteTraffic[] | null }) {
  const words = useWords();
  const number = useNumber();
  const duration = useDuration();
  const time = (seconds: number | null) => (seconds === null ? '–' : duration(seconds));
  return (
    <Section title={words('system.traffic')}>
      {routes === null && <Text size="sm">{words('system.traffic-unknown')}</Text>}
      {routes?.length === 0 && <Text size="sm">{words('system.traffic-none')}</Text>}
      {routes !== null && routes.length > 0 && (
        <>
          <NumberTable
            label={words('system.traffic')}
            columns={[
              words('system.route'),
              words('system.requests'),
              words('system.failed'),
              words('system.median'),
              words('system.slow'),
            ]}
            rows={routes.map((each) => ({
              key: `${each.method} ${each.route}`,
              cells: [
                `${each.method} ${each.route}`,
                number(each.requests),
                number(each.failed),
                time(each.median_seconds),
                time(each.slow_seconds),
              ],
            }))}
          />
          <Text size="xs" c="dimmed">
            {words('system.traffic-what')}
          </Text>
        </>
      )}
    </Section>
  );
}
