import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useState } from 'react';

interface Props {
  label: string;
  /** What is searched for; changed from outside, as by the browser's Back, it is also what the field shows. */
  value: string;
  /** Called when the typing pauses. */
  onSearch: (text: string) => void;
}

/** After so long without a key the typing has paused. Short, as answers to what was typed before are not waited for. */
const PAUSE_MS = 60;
const LONGEST = 200;

/** A field whose text the server searches for. */
export function SearchField({ label, value, onSearch }: Props) {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  // What was typed and has not come back as the value, which may take longer than typing on.
  const [said, setSaid] = useState<readonly string[]>([]);
  const search = useDebouncedCallback((typed: string) => {
    if (typed !== value) setSaid((before) => [...before, typed]);
    onSearch(typed);
  }, PAUSE_MS);
  if (value !== known) {
    setKnown(value);
    const back = said.indexOf(value);
    setSaid(said.slice(back + 1));
    if (back < 0) setText(value);
  }
  return (
    <TextInput
      type="search"
      flex="1 1 12rem"
      maw={320}
      aria-label={label}
      placeholder={label}
      maxLength={LONGEST}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        search(event.currentTarget.value);
      }}
    />
  );
}
