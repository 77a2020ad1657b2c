import { Checkbox, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';

import type { ListedPerson } from '../../api/gallery';
import { Picture } from '../../parts/Picture';
import { useWords } from '../../words/useWords';
import classes from './Card.module.css';

/** Least width of a card, and the height under its picture. */
export const CARD_PX = 144;
export const CAPTION_PX = 52;

interface Props {
  person: ListedPerson;
  selected: boolean;
  onSelect: (range: boolean) => void;
}

/** A person of the grid: leads to their photos, and can be chosen. */
export function PersonCard({ person, selected, onSelect }: Props) {
  const words = useWords();
  const { id, name, category, photos, thumbnail_url: picture } = person;
  const about = [category, photos > 1 && words('gallery.photos', { count: photos })].filter(Boolean).join(' · ');
  return (
    <div className={classes.card} data-selected={selected || undefined}>
      <Link to="/gallery/$personId" params={{ personId: id }} className={classes.link}>
        <Picture src={picture} alt="" />
        <Text component="span" display="block" fw={500} size="sm" mt={6} truncate>
          {name}
        </Text>
        <Text component="span" display="block" size="xs" c="dimmed" truncate>
          {about}
        </Text>
      </Link>
      <Checkbox
        className={classes.check}
        aria-label={words('gallery.select', { name })}
        checked={selected}
        onChange={(event) => {
          onSelect((event.nativeEvent as MouseEvent).shiftKey);
        }}
      />
    </div>
  );
}
