import { Drawer, SimpleGrid, Stack, Text, Title } from '@mantine/core';

import { useUser, type UserDetails } from '../../api/users';
import { ErrorState } from '../../parts/ErrorState';
import { Picture } from '../../parts/Picture';
import { Working } from '../../parts/Working';
import { useNumber, useTime, useWords, type WordId } from '../../words/useWords';
import { ofLimit } from './filter';
import { UserActions } from './UserActions';
import { UserBadges } from './UserBadges';
import classes from './Users.module.css';

interface Limits {
  photoLimit: number;
  babyLimit: number;
}

interface Props extends Limits {
  /** undefined: nobody is looked at. */
  id: string | undefined;
  onClose: () => void;
}

/** A user: what is known, the latest photos, and what an operator can do. */
export function UserDrawer({ id, onClose, ...limits }: Props) {
  const words = useWords();
  return (
    <Drawer
      opened={id !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={words('users.user')}
      closeButtonProps={{ 'aria-label': words('parts.close') }}
    >
      {id !== undefined && <Content id={id} onClose={onClose} {...limits} />}
    </Drawer>
  );
}

function Content({ id, onClose, ...limits }: Limits & { id: string; onClose: () => void }) {
  const { data, error, isPending, refetch } = useUser(id);
  if (isPending) return <Working />;
  if (error && !data) return <ErrorState error={error} again={() => void refetch()} />;
  return (
    <Stack gap="lg">
      <Facts user={data} {...limits} />
      <UserActions user={data} onDeleted={onClose} />
      <Photos user={data} />
    </Stack>
  );
}

function Facts({ user, photoLimit, babyLimit }: Limits & { user: UserDetails }) {
  const words = useWords();
  const number = useNumber();
  const time = useTime();
  const facts = [
    ['users.email' satisfies WordId, user.email ?? '–'],
    ['users.school' satisfies WordId, user.school ?? '–'],
    ['users.gender' satisfies WordId, user.gender === null ? '–' : words(`users.gender.${user.gender}`)],
    ['users.photos' satisfies WordId, number(user.photos)],
    ['users.matches' satisfies WordId, number(user.matches)],
    ['users.uploads' satisfies WordId, ofLimit(user.uploads_today, photoLimit, number)],
    ['users.babies' satisfies WordId, ofLimit(user.generations_today, babyLimit, number)],
    ['users.seen' satisfies WordId, user.last_seen === null ? '–' : time(user.last_seen)],
    ['users.since' satisfies WordId, time(user.created_at)],
    ...(user.blocked_at === null ? [] : [['users.blocked-since' satisfies WordId, time(user.blocked_at)] as const]),
  ] as const;
  return (
    <Stack gap="sm">
      <Title order={2} size="h4">
        {user.label}
      </Title>
      <UserBadges user={user} />
      <dl className={classes.facts}>
        {facts.map(([id, value]) => (
          <Fact key={id} title={words(id)} value={value} />
        ))}
      </dl>
    </Stack>
  );
}

function Fact({ title, value }: { title: string; value: string }) {
  return (
    <>
      <Text component="dt" size="sm" c="dimmed">
        {title}
      </Text>
      <dd>{value}</dd>
    </>
  );
}

function Photos({ user: { latest_photos: photos, label } }: { user: UserDetails }) {
  const words = useWords();
  const time = useTime();
  if (photos.length === 0) return <Text size="sm">{words('users.no-photo')}</Text>;
  return (
    <SimpleGrid
      cols={{ base: 3, xs: 4 }}
      spacing="xs"
      component="ul"
      className={classes.photos}
      aria-label={words('users.latest-photos', { name: label })}
    >
      {photos.map(({ id, thumbnail_url: url, created_at: at }) => (
        <li key={id}>
          <Picture src={url} alt={time(at)} />
        </li>
      ))}
    </SimpleGrid>
  );
}
