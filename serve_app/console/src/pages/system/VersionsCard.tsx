import type { System } from '../../api/system';
import { useWords } from '../../words/useWords';
import { Facts } from './Facts';
import { Section } from '../../parts/Section';

/** What runs. */
export function VersionsCard({ versions, database }: Pick<System, 'versions' | 'database'>) {
  const words = useWords();
  const names = { semblance: 'Semblance', python: 'Python', ray: 'Ray', postgres: 'PostgreSQL', pgvector: 'pgvector' };
  return (
    <Section title={words('system.versions')}>
      <Facts
        facts={[
          [names.semblance, versions.semblance],
          [names.python, versions.python],
          [names.ray, versions.ray],
          [names.postgres, database.postgres],
          [names.pgvector, database.pgvector ?? '–'],
        ]}
      />
    </Section>
  );
}
