import { Checkbox, Stack } from '@mantine/core';
import { useCallback, useState } from 'react';

import type { Faces } from '../../api/faces';
import { useWords } from '../../words/useWords';
import classes from './Photo.module.css';

/** The photo with its faces marked; boxes and points are in pixels of the upright photo. */
export function Photo({ photo, faces }: { photo: File; faces: Faces }) {
  const words = useWords();
  const [points, setPoints] = useState(false);
  const { width, height } = faces.image;

  const show = useCallback(
    (image: HTMLImageElement) => {
      const address = URL.createObjectURL(photo);
      image.src = address;
      return () => {
        URL.revokeObjectURL(address);
      };
    },
    [photo],
  );

  return (
    <Stack gap="xs">
      <div className={classes.frame}>
        <img ref={show} alt={words('try.your-photo')} width={width} height={height} className={classes.photo} />
        <svg viewBox={`0 0 ${width} ${height}`} className={classes.marks} aria-hidden="true">
          {faces.faces.map(({ bbox: [x1, y1, x2, y2], landmarks_68: landmarks }, place) => (
            <g key={place}>
              <rect x={x1} y={y1} width={x2 - x1} height={y2 - y1} />
              <text x={x1} y={y1} dy="-0.3em" fontSize={Math.max(width, height) / 35}>
                {place + 1}
              </text>
              {points &&
                landmarks.map(([x, y], point) => (
                  <circle key={point} cx={x} cy={y} r={(x2 - x1) / 90} />
                ))}
            </g>
          ))}
        </svg>
      </div>
      <Checkbox
        label={words('try.landmarks')}
        checked={points}
        onChange={(event) => {
          setPoints(event.currentTarget.checked);
        }}
      />
    </Stack>
  );
}
