import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useState } from 'react';

interface Props {
  label: string;
  value: string;
  /** Called when the typing pauses. */
  onSearch: (text: string) => void;
}

/** After so long without a key the typing has paused. Short, as answers to what was typed before are not waited for. */
const PAUSE_MS = 60;

/** A field whose text the server searches for. */
export function SearchField({ label, value, onSearch }: Props) {
  const [text, setText] = useState(value);
  const search = useDebouncedCallback(onSearch, PAUSE_MS);
  return (
    <TextInput
      type="search"
      aria-label={label}
      placeholder={label}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        search(event.currentTarget.value);
      }}
    />
  );
}
