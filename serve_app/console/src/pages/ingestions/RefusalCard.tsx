import { Button, Card, Group, Text } from '@mantine/core';

import { type Decision, pictureOf, type Refusal } from '../../api/ingestions';
import { Picture } from '../../parts/Picture';
import { useWords } from '../../words/useWords';
import classes from './RefusalCard.module.css';

/** Room for the buttons beside each other, also in German. */
export const CARD_PX = 280;
/** Room for the label, the reason, what the analyzer says, and two lines of buttons. */
export const CAPTION_PX = 200;

interface Props {
  ingestion: string;
  refusal: Refusal;
  busy: boolean;
  onDecide: (decision: Decision) => void;
}

/** A picture that was not taken. */
export function RefusalCard({ ingestion, refusal, busy, onDecide }: Props) {
  const { label, outcome, reason, name, decision, decisions, has_picture: shown } = refusal;
  const words = useWords();
  const title = name ?? label;
  return (
    <Card withBorder padding="xs" h="100%" className={classes.card ?? ''}>
      <Card.Section>
        {shown ? (
          <Picture src={pictureOf(ingestion, refusal)} alt="" />
        ) : (
          <div className={classes.missing}>
            <Text size="sm" c="dimmed">
              {words('ingestions.no-picture')}
            </Text>
          </div>
        )}
      </Card.Section>
      <Text fw={500} size="sm" mt="xs" truncate title={label}>
        {title}
      </Text>
      <Text size="sm" lineClamp={2}>
        {words(`ingestions.reason.${outcome}`)}
      </Text>
      <Text size="xs" c="dimmed" lineClamp={2} title={reason}>
        {reason}
      </Text>
      <Group gap={6} mt="auto">
        {decision === null ? (
          decisions.map((each) => (
            <Button
              key={each}
              size="compact-sm"
              variant="default"
              disabled={busy}
              aria-label={words('ingestions.decide', { decision: words(`ingestions.decision.${each}`), name: title })}
              onClick={() => {
                onDecide(each);
              }}
            >
              {words(`ingestions.decision.${each}`)}
            </Button>
          ))
        ) : (
          <Text size="sm" fw={500}>
            {words(`ingestions.decided.${decision}`)}
          </Text>
        )}
      </Group>
    </Card>
  );
}
