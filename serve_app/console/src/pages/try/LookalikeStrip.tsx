import { Text, Title, UnstyledButton } from '@mantine/core';

import type { Celebrity } from '../../api/faces';
import { Picture } from '../../parts/Picture';
import { usePercent, useWords } from '../../words/useWords';
import classes from './LookalikeStrip.module.css';
import { useRarity } from './useRarity';

interface Props {
  matches: Celebrity[];
  chosen: string | undefined;
  onChoose: (celebrity: Celebrity) => void;
}

/** The celebrities most like a face, best first. Each is a button that says why. */
export function LookalikeStrip({ matches, chosen, onChoose }: Props) {
  const words = useWords();
  const percent = usePercent();
  const rarity = useRarity();
  return (
    <section aria-labelledby="lookalikes">
      <Title order={2} size="h4" mb="xs" id="lookalikes">
        {words('try.lookalikes')}
      </Title>
      <ul className={classes.strip}>
        {matches.map((celebrity) => (
          <li key={celebrity.celebrity_id} className={classes.card}>
            <UnstyledButton
              className={classes.button}
              aria-pressed={celebrity.celebrity_id === chosen}
              onClick={() => {
                onChoose(celebrity);
              }}
            >
              <Picture src={celebrity.thumbnail_url} alt="" />
              <Text component="span" display="block" fw={500} size="sm" mt={6} truncate title={celebrity.name}>
                {celebrity.name}
              </Text>
              <Text component="span" display="block" size="sm" className={classes.number}>
                {words('try.similarity', { percent: percent(Math.max(0, celebrity.similarity)) })}
              </Text>
              {celebrity.rarity && (
                <Text component="span" display="block" size="xs" c="dimmed">
                  {rarity(celebrity.rarity)}
                </Text>
              )}
            </UnstyledButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
