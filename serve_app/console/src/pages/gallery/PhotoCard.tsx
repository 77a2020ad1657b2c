import type { PersonPhoto } from '../../api/gallery';
import { Picture } from '../../parts/Picture';
import { usePercent, useWords } from '../../words/useWords';
import classes from './Card.module.css';

interface Props {
  photo: PersonPhoto;
  /** Tells it from the others, from 1. */
  place: number;
  selected: boolean;
  onSelect: (range: boolean) => void;
}

/** One photo of a person: opens in full, and can be chosen. */
export function PhotoCard({ photo, place, selected, onSelect }: Props) {
  const words = useWords();
  const percent = usePercent();
  const { quality, searchable, image_url: full, thumbnail_url: picture } = photo;
  return (
    <div className={classes.card} data-selected={selected || undefined}>
      <a href={full} target="_blank" rel="noreferrer" className={classes.link}>
        <Picture src={picture} alt={words('gallery.photo', { place })} />
        <span className={classes.name}>
          {quality === null ? '' : words('gallery.quality-is', { quality: percent(quality) })}
        </span>
        <span className={classes.about}>{searchable ? '' : words('gallery.other-pack')}</span>
      </a>
      <label className={classes.check}>
        <input
          type="checkbox"
          aria-label={words('gallery.select-photo', { place })}
          checked={selected}
          onChange={(event) => {
            onSelect((event.nativeEvent as MouseEvent).shiftKey);
          }}
        />
      </label>
    </div>
  );
}
