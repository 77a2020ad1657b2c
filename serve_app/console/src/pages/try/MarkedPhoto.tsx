import { Group, Switch, Text } from '@mantine/core';
import { useState } from 'react';

import { type Look, type Photo, useShown } from '../../api/faces';
import { useWords } from '../../words/useWords';
import classes from './MarkedPhoto.module.css';

interface Props {
  photo: Photo;
  look: Look | undefined;
  /** The place of the chosen face. */
  chosen: number;
  onChoose: (place: number) => void;
}

/** The photo with a box around each face, by which one is chosen. */
export function MarkedPhoto({ photo, look, chosen, onChoose }: Props) {
  const words = useWords();
  const [landmarks, setLandmarks] = useState(false);
  const shown = useShown(photo);
  const size = look?.size ?? null;
  return (
    <div>
      <div
        className={classes.frame}
        {...(size && { style: { aspectRatio: size.width / size.height, maxWidth: `calc(70vh * ${size.width / size.height})` } })}
      >
        {shown ? (
          <img src={shown} alt={words('try.your-photo')} className={size ? classes.fitted : classes.photo} />
        ) : (
          <Text className={classes.unseen} size="sm" c="dimmed">
            {shown === null && words('try.cannot-show')}
          </Text>
        )}
        {look && size && (
          <>
            {landmarks && (
              <svg viewBox={`0 0 ${size.width} ${size.height}`} className={classes.marks} aria-hidden="true">
                {look.faces.map(({ face }) =>
                  face.landmarks_68.map(([x, y], point) => (
                    <circle key={point} cx={x} cy={y} r={Math.max(1, (face.bbox[2] - face.bbox[0]) / 80)} />
                  )),
                )}
              </svg>
            )}
            {look.faces.map(({ face }, place) => {
              const [x1, y1, x2, y2] = face.bbox;
              const share = (value: number, whole: number) => `${(100 * value) / whole}%`;
              return (
                <button
                  key={face.bbox.join()}
                  type="button"
                  className={classes.box}
                  aria-pressed={place === chosen}
                  aria-label={words('try.face', { number: place + 1 })}
                  style={{
                    left: share(x1, size.width),
                    top: share(y1, size.height),
                    width: share(x2 - x1, size.width),
                    height: share(y2 - y1, size.height),
                  }}
                  onClick={() => {
                    onChoose(place);
                  }}
                >
                  {look.faces.length > 1 && <span className={classes.number}>{place + 1}</span>}
                </button>
              );
            })}
          </>
        )}
      </div>
      {look && look.faces.length > 0 && (
        <Group justify="space-between" mt="xs" gap="xs">
          <Text size="sm" c="dimmed">
            {words('try.found', { count: look.found, shown: look.faces.length })}
          </Text>
          <Switch
            size="sm"
            label={words('try.landmarks')}
            checked={landmarks}
            onChange={(event) => {
              setLandmarks(event.currentTarget.checked);
            }}
          />
        </Group>
      )}
    </div>
  );
}
