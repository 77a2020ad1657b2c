import { useCallback, useState } from 'react';

import classes from './Picture.module.css';

interface Props {
  /** undefined, null: the space stays empty. */
  src: string | null | undefined;
  /** What is on it; empty where the name stands beside it. */
  alt: string;
  /** Width over height; the space is taken before the picture arrives. */
  ratio?: number;
}

/** A stored picture that fills the width it is given. It loads when it comes near the window. */
export function Picture({ src, alt, ratio = 1 }: Props) {
  const [failed, setFailed] = useState<string>();
  // A browser goes on loading for an element that has left the page: pictures that were scrolled past would come
  // before those in the window.
  const load = useCallback(
    (image: HTMLImageElement) => {
      if (src) image.src = src;
      return () => {
        image.removeAttribute('src');
      };
    },
    [src],
  );
  return (
    <div className={classes.frame} style={{ aspectRatio: ratio }}>
      {src && failed !== src && (
        <img
          ref={load}
          alt={alt}
          loading="lazy"
          // Answers to searches go first: a browser has six connections.
          fetchPriority="low"
          decoding="async"
          className={classes.picture}
          onError={() => {
            setFailed(src);
          }}
        />
      )}
    </div>
  );
}
