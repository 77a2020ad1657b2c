import { Alert, Button, Checkbox, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';

import { type Scope, useCreateKey } from '../../api/system';
import { CodeBlock } from '../../parts/CodeBlock';
import { ErrorState } from '../../parts/ErrorState';
import { useWords } from '../../words/useWords';

const SCOPES: readonly Scope[] = ['compute', 'search', 'metrics'];

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Asks for a name and scopes, and shows the new key once. */
export function NewKeyDialog({ opened, onClose }: Props) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      // The key is shown once: a click beside the dialog would lose it.
      closeOnClickOutside={false}
      title={words('system.new-key')}
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      {/* Mounted with each opening, so that a key is gone when the dialog is closed. */}
      <NewKey onDone={onClose} />
    </Modal>
  );
}

function NewKey({ onDone }: { onDone: () => void }) {
  const words = useWords();
  const create = useCreateKey();
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<Scope[]>(['compute']);
  if (create.data) {
    return (
      <Stack>
        <Alert variant="default" title={words('system.key-made')} role="status">
          {words('system.key-once')}
        </Alert>
        <CodeBlock code={create.data.key} />
        <Group justify="flex-end">
          <Button onClick={onDone}>{words('system.key-kept')}</Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate({ name, scopes });
      }}
    >
      <Stack>
        <TextInput
          label={words('system.name')}
          description={words('system.name-what')}
          data-autofocus
          required
          maxLength={100}
          value={name}
          onChange={(event) => {
            setName(event.currentTarget.value);
          }}
        />
        <Checkbox.Group
          label={words('system.scopes')}
          value={scopes}
          onChange={(chosen) => {
            setScopes(SCOPES.filter((scope) => chosen.includes(scope)));
          }}
        >
          <Stack gap="xs" mt="xs">
            {SCOPES.map((scope) => (
              <Checkbox
                key={scope}
                value={scope}
                label={words(`system.scope.${scope}`)}
                description={words(`system.scope-what.${scope}`)}
              />
            ))}
          </Stack>
        </Checkbox.Group>
        {create.error && <ErrorState error={create.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            {words('parts.cancel')}
          </Button>
          <Button type="submit" loading={create.isPending} disabled={name.trim() === '' || scopes.length === 0}>
            {words('system.new-key')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
