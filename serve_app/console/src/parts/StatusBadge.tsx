import { Badge } from '@mantine/core';
import type { ReactNode } from 'react';

import { Dot, type Level } from './Dot';

/** How something is, in a word and a colour. */
export function StatusBadge({ level, children }: { level: Level; children: ReactNode }) {
  return (
    <Badge variant="default" size="lg" tt="none" leftSection={<Dot level={level} />}>
      {children}
    </Badge>
  );
}
