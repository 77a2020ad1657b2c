import { Group, Text } from '@mantine/core';

import type { Deployment } from '../../api/system';
import { useNumber, useWords } from '../../words/useWords';
import { Dot } from '../../parts/Dot';
import { NumberTable } from '../../parts/NumberTable';
import { Section } from '../../parts/Section';

interface Props {
  deployments: Deployment[];
  problem: string | null;
}

/** Replicas and queues of the deployments on Ray Serve. */
export function DeploymentsCard({ deployments, problem }: Props) {
  const words = useWords();
  const number = useNumber();
  const count = (value: number | null) => (value === null ? '–' : number(value));
  return (
    <Section title={words('system.deployments')}>
      {problem !== null && <Text size="sm">{problem}</Text>}
      {deployments.length > 0 && (
        <NumberTable
          label={words('system.deployments')}
          columns={[
            words('system.deployment'),
            words('system.replicas'),
            words('system.waiting'),
            words('system.working'),
          ]}
          rows={deployments.map((each) => ({
            key: each.name,
            cells: [
              <Name key="name" deployment={each} />,
              each.changing > 0
                ? words('system.replicas-changing', { running: number(each.running), changing: number(each.changing) })
                : number(each.running),
              count(each.waiting),
              count(each.working),
            ],
          }))}
        />
      )}
    </Section>
  );
}

function Name({ deployment: { name, status, message } }: { deployment: Deployment }) {
  const healthy = status === 'HEALTHY';
  return (
    <Group gap="xs" wrap="nowrap" align="baseline">
      <Dot level={healthy ? 'ok' : status === 'UNHEALTHY' ? 'fail' : 'warn'} />
      <Text size="sm">
        {name}
        {!healthy && (
          <Text span c="dimmed" display="block" inherit>
            {[status.toLowerCase().replaceAll('_', ' '), message].filter((said) => said !== '').join(': ')}
          </Text>
        )}
      </Text>
    </Group>
  );
}
