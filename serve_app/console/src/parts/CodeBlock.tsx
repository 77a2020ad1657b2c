import { ActionIcon, CopyButton, Group } from '@mantine/core';

import { useWords } from '../words/useWords';
import classes from './CodeBlock.module.css';

/** Text to be copied: a command, a request, an answer. */
export function CodeBlock({ code }: { code: string }) {
  const words = useWords();
  return (
    <Group gap={0} wrap="nowrap" align="flex-start" className={classes.block}>
      {/* Long lines scroll, by keyboard too. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre className={classes.code} tabIndex={0}>
        {code}
      </pre>
      <CopyButton value={code}>
        {({ copied, copy }) => (
          <ActionIcon
            variant="subtle"
            m={6}
            color={copied ? 'teal' : 'gray'}
            aria-label={words(copied ? 'parts.copied' : 'parts.copy')}
            onClick={copy}
          >
            <svg width="16" height="16" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="2" aria-hidden>
              {copied ? (
                <path d="m5 13 4 4L19 7" />
              ) : (
                <>
                  <rect x="9" y="9" width="11" height="11" rx="2" />
                  <path d="M5 15V6a2 2 0 0 1 2-2h8" />
                </>
              )}
            </svg>
          </ActionIcon>
        )}
      </CopyButton>
    </Group>
  );
}
