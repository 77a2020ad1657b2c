import { Button, Code, Drawer, Group } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import type { System } from '../../api/system';
import { useWords } from '../../words/useWords';
import { Facts } from './Facts';
import { Section } from '../../parts/Section';

/** The model pack, with its card. */
export function PackCard({ pack }: { pack: System['pack'] }) {
  const words = useWords();
  const [reading, { open, close }] = useDisclosure();
  return (
    <Section
      title={words('system.pack')}
      aside={
        pack.card !== null && (
          <Button size="xs" variant="default" onClick={open}>
            {words('system.card')}
          </Button>
        )
      }
    >
      <Facts
        facts={[
          [words('system.pack-name'), pack.name],
          [words('system.digest'), pack.digest.slice(0, 12)],
          [words('system.licence'), pack.licence],
          [words('system.commercial'), words(pack.commercial_use ? 'system.yes' : 'system.no')],
        ]}
      />
      <Drawer
        opened={reading}
        onClose={close}
        position="right"
        size="xl"
        title={words('system.card')}
        closeButtonProps={{ 'aria-label': words('parts.close') }}
      >
        <Group>
          {/* As it is written: Markdown reads well as text. */}
          <Code block tabIndex={0} w="100%" style={{ whiteSpace: 'pre-wrap' }}>
            {pack.card}
          </Code>
        </Group>
      </Drawer>
    </Section>
  );
}
