import { NativeSelect } from '@mantine/core';

import type { Role, UserFilter } from '../../api/users';
import { FilterBar } from '../../parts/FilterBar';
import { SearchField } from '../../parts/SearchField';
import { useWords } from '../../words/useWords';

interface Props {
  filter: UserFilter;
  onChange: (filter: UserFilter) => void;
}

export function UserFilters({ filter, onChange }: Props) {
  const words = useWords();
  return (
    <FilterBar label={words('users.search')}>
      <SearchField
        label={words('users.by-beginning')}
        value={filter.search ?? ''}
        onSearch={(search) => {
          onChange({ ...filter, search: search || undefined });
        }}
      />
      <NativeSelect
        aria-label={words('users.role')}
        value={filter.role ?? ''}
        data={[
          { value: '', label: words('users.any-role') },
          { value: 'user', label: words('users.role.user') },
          { value: 'admin', label: words('users.role.admin') },
        ]}
        onChange={(event) => {
          const role = event.currentTarget.value as Role | '';
          onChange({ ...filter, role: role || undefined });
        }}
      />
      <NativeSelect
        aria-label={words('users.state')}
        value={String(filter.blocked ?? '')}
        data={[
          { value: '', label: words('users.any-state') },
          { value: 'false', label: words('users.not-blocked') },
          { value: 'true', label: words('users.blocked') },
        ]}
        onChange={(event) => {
          const { value } = event.currentTarget;
          onChange({ ...filter, blocked: value === '' ? undefined : value === 'true' });
        }}
      />
    </FilterBar>
  );
}
