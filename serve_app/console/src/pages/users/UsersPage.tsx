import { Stack } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';

import { useUsers } from '../../api/users';
import { isTyping } from '../../parts/address';
import { EmptyState } from '../../parts/EmptyState';
import { ErrorState } from '../../parts/ErrorState';
import { ListBreak, moreOf } from '../../parts/LongList';
import { PageTitle } from '../../parts/PageTitle';
import { Working } from '../../parts/Working';
import { useWords } from '../../words/useWords';
import { isNarrow } from './filter';
import { UserDrawer } from './UserDrawer';
import { UserFilters } from './UserFilters';
import { UserTable } from './UserTable';

const route = getRouteApi('/users');

/** The people of the app: found, kept out, promoted and deleted. */
export function UsersPage() {
  const words = useWords();
  const { user, ...filter } = route.useSearch();
  const navigate = route.useNavigate();
  const list = useUsers(filter);
  const pages = list.data?.pages ?? [];
  const users = pages.flatMap((page) => page.users);
  const first = pages[0];
  const show = (id: string) => void navigate({ search: { ...filter, user: id }, resetScroll: false });
  const leave = () => void navigate({ search: filter, replace: true, resetScroll: false });
  return (
    <Stack gap="md" maw={1400}>
      <PageTitle title={words('users.title')} purpose={words('users.purpose')} />
      <UserFilters filter={filter} onChange={(changed) => void navigate({ search: changed, replace: isTyping(filter.search, changed.search) })} />
      {list.error && users.length === 0 && <ErrorState error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Working />}
      {list.data && users.length === 0 && (
        <EmptyState title={words(isNarrow(filter) ? 'users.none-found' : 'users.none')}>
          {words(isNarrow(filter) ? 'users.none-found-what' : 'users.none-what')}
        </EmptyState>
      )}
      {first && users.length > 0 && (
        <UserTable
          users={users}
          limit={first.daily_photo_upload_limit}
          onOpen={show}
          more={moreOf(list)}
        />
      )}
      <ListBreak list={list} />
      <UserDrawer
        id={user}
        photoLimit={first?.daily_photo_upload_limit ?? -1}
        babyLimit={first?.daily_baby_generation_limit ?? -1}
        onClose={leave}
      />
    </Stack>
  );
}
