import { Group } from '@mantine/core';
import type { ReactNode } from 'react';

/** The fields that narrow a list, above it; they wrap on a phone. */
export function FilterBar({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group component="search" aria-label={label} gap="sm" align="flex-end">
      {children}
    </Group>
  );
}
