import { Text } from '@mantine/core';

import type { Size } from '../../api/faces';
import { alignment, type Point, VIEW } from './alignment';
import classes from './AlignedFace.module.css';

interface Props {
  /** undefined, null: there is no picture yet, or none at all. */
  src: string | null | undefined;
  /** Whose face it is; stands under it. */
  name: string;
  /** The five points, in pixels of the picture; null: the picture is shown as it is. */
  points: readonly Point[] | null;
  /** Of the picture in the pixels of `points`, where the file has others. */
  size?: Size | null;
}

/** A face turned, scaled and moved so that eyes and mouth lie where they lie in every other. */
export function AlignedFace({ src, name, points, size }: Props) {
  const matrix = points === null ? undefined : alignment(points);
  return (
    <figure className={classes.figure}>
      {matrix === undefined ? (
        <img src={src ?? undefined} alt={name} className={classes.face} />
      ) : (
        <svg
          role="img"
          aria-label={name}
          viewBox={`${VIEW.x} ${VIEW.y} ${VIEW.side} ${VIEW.side}`}
          className={classes.face}
        >
          <image
            href={src ?? undefined}
            transform={`matrix(${matrix.join(' ')})`}
            preserveAspectRatio="none"
            {...(size ? { width: size.width, height: size.height } : {})}
          />
        </svg>
      )}
      <Text component="figcaption" size="sm" ta="center" fw={500} truncate>
        {name}
      </Text>
    </figure>
  );
}
