import type { System } from '../../api/system';
import { Bars } from '../../parts/Bars';
import { useWords } from '../../words/useWords';
import { Facts } from './Facts';
import { Section } from '../../parts/Section';
import { useBytes } from './useBytes';

/** Where pictures are kept, and how full it is. */
export function PicturesCard({ pictures }: { pictures: System['pictures'] }) {
  const words = useWords();
  const bytes = useBytes();
  const { kind, place, free_bytes: free, size_bytes: size } = pictures;
  return (
    <Section title={words('system.pictures')}>
      <Facts
        facts={[
          [words('system.kind'), words(`system.kind.${kind}`)],
          [words('system.place'), place],
          ...(free === null ? [] : [[words('system.free'), bytes(free)] as const]),
        ]}
      />
      {free !== null && size !== null && size > 0 && (
        <Bars bars={[{ label: words('system.used'), share: 1 - free / size }]} />
      )}
    </Section>
  );
}
