import { Button, Group, Modal, NumberInput, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useState } from 'react';

import { type RayJobKind, useStartRayJob } from '../../api/jobs';
import { ErrorState } from '../../parts/ErrorState';
import { useTell } from '../../parts/useTell';
import { useWords } from '../../words/useWords';
import { complete, defaults, type Field, FIELDS, KINDS, request, type Values } from './options';

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Asks for a kind of job and its options, and starts it. */
export function StartJobDialog({ opened, onClose }: Props) {
  const words = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={words('jobs.start')}
      size="lg"
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      <StartForm onDone={onClose} />
    </Modal>
  );
}

function StartForm({ onDone }: { onDone: () => void }) {
  const words = useWords();
  const tell = useTell();
  const start = useStartRayJob();
  const [kind, setKind] = useState<RayJobKind>('rematch');
  const [values, setValues] = useState<Values>(defaults('rematch'));
  const choose = (chosen: RayJobKind) => {
    setKind(chosen);
    setValues(defaults(chosen));
    start.reset();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        start.mutate(request(kind, values), {
          onSuccess: () => {
            tell.done(words('jobs.was-started'));
            onDone();
          },
        });
      }}
    >
      <Stack>
        <Select
          label={words('jobs.kind')}
          data={KINDS.map((value) => ({ value, label: words(`jobs.kind.${value}`) }))}
          value={kind}
          allowDeselect={false}
          onChange={(chosen) => {
            if (chosen !== null) choose(chosen);
          }}
        />
        <Text size="sm" c="dimmed">
          {words(`jobs.what.${kind}`)}
        </Text>
        {FIELDS[kind].map((field) => (
          <OptionField
            key={`${kind} ${field.name}`}
            field={field}
            value={values[field.name] ?? ''}
            onChange={(value) => {
              setValues({ ...values, [field.name]: value });
            }}
          />
        ))}
        {start.error && <ErrorState error={start.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            {words('parts.cancel')}
          </Button>
          <Button type="submit" loading={start.isPending} disabled={!complete(kind, values)}>
            {words('jobs.start')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface OptionProps {
  field: Field;
  value: string | number | boolean;
  onChange: (value: string | number | boolean) => void;
}

function OptionField({ field: { name, type, needed, min, max, step }, value, onChange }: OptionProps) {
  const words = useWords();
  const label = words(`jobs.option.${name}`);
  if (type === 'switch') {
    return (
      <Switch
        label={label}
        checked={value === true}
        onChange={(event) => {
          onChange(event.currentTarget.checked);
        }}
      />
    );
  }
  if (type === 'number') {
    return (
      <NumberInput
        label={label}
        value={value as number | string}
        onChange={onChange}
        hideControls
        {...(min !== undefined && { min })}
        {...(max !== undefined && { max })}
        {...(step !== undefined && { step })}
      />
    );
  }
  return (
    <TextInput
      label={label}
      type={type === 'time' ? 'datetime-local' : 'text'}
      value={String(value)}
      required={needed === true}
      onChange={(event) => {
        onChange(event.currentTarget.value);
      }}
    />
  );
}
