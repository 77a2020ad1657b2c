import { Button, Drawer, Stack, Tabs, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import { CodeBlock } from '../../parts/CodeBlock';
import { useWords } from '../../words/useWords';
import { type Call, curl, python, readable } from './requests';

/** How a program asks the same, and the answer it gets. */
export function RequestDrawer({ call, answer }: { call: Call; answer: unknown }) {
  const words = useWords();
  const [opened, { open, close }] = useDisclosure();
  return (
    <>
      <Button variant="default" onClick={open}>
        {words('try.request')}
      </Button>
      <Drawer
        opened={opened}
        onClose={close}
        position="right"
        size="xl"
        title={words('try.request')}
        closeButtonProps={{ 'aria-label': words('try.close') }}
      >
        <Tabs defaultValue="curl">
          <Tabs.List>
            <Tabs.Tab value="curl">{words('try.curl')}</Tabs.Tab>
            <Tabs.Tab value="python">{words('try.python')}</Tabs.Tab>
            <Tabs.Tab value="answer">{words('try.answer')}</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="curl" pt="sm">
            <Explained sentence={words('try.request-key')} code={curl(call)} />
          </Tabs.Panel>
          <Tabs.Panel value="python" pt="sm">
            <Explained sentence={words('try.request-key')} code={python(call)} />
          </Tabs.Panel>
          <Tabs.Panel value="answer" pt="sm">
            <Explained sentence={words('try.answer-cut')} code={readable(answer)} />
          </Tabs.Panel>
        </Tabs>
      </Drawer>
    </>
  );
}

function Explained({ sentence, code }: { sentence: string; code: string }) {
  return (
    <Stack gap="xs">
      <Text size="sm" c="dimmed">
        {sentence}
      </Text>
      <CodeBlock code={code} />
    </Stack>
  );
}
