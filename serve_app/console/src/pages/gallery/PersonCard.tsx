import { Link } from '@tanstack/react-router';
import { memo } from 'react';

import type { ListedPerson } from '../../api/gallery';
import { Picture } from '../../parts/Picture';
import { useWords } from '../../words/useWords';
import classes from './Card.module.css';

/** Least width of a card, and the height under its picture. */
export const CARD_PX = 144;
export const CAPTION_PX = 52;

interface Props {
  person: ListedPerson;
  /** In the list, from 0. */
  place: number;
  selected: boolean;
  onSelect: (place: number, person: ListedPerson, range: boolean) => void;
}

/**
 * A person of the grid: leads to their photos, and can be chosen. Of plain elements, as dozens of them
 * come into the window at once; drawn again only where it changes.
 */
export const PersonCard = memo(function PersonCard({ person, place, selected, onSelect }: Props) {
  const words = useWords();
  const { id, name, category, photos, thumbnail_url: picture } = person;
  const about = [category, photos > 1 && words('gallery.photos', { count: photos })].filter(Boolean).join(' · ');
  return (
    <div className={classes.card} data-selected={selected || undefined}>
      <Link to="/gallery/$personId" params={{ personId: id }} className={classes.link}>
        <Picture src={picture} alt="" />
        <span className={classes.name}>{name}</span>
        <span className={classes.about}>{about}</span>
      </Link>
      <label className={classes.check}>
        <input
          type="checkbox"
          aria-label={words('gallery.select', { name })}
          checked={selected}
          onChange={(event) => {
            onSelect(place, person, (event.nativeEvent as MouseEvent).shiftKey);
          }}
        />
      </label>
    </div>
  );
});
