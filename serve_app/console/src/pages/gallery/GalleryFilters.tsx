import { Button, FileButton, NativeSelect } from '@mantine/core';

import { type PeopleFilter, useCategories } from '../../api/gallery';
import { FilterBar } from '../../parts/FilterBar';
import { SearchField } from '../../parts/SearchField';
import { usePercent, useWords } from '../../words/useWords';
import { QUALITIES } from './filter';

interface Props {
  filter: PeopleFilter;
  onChange: (filter: PeopleFilter) => void;
  onPhoto: (photo: File) => void;
}

export function GalleryFilters({ filter, onChange, onPhoto }: Props) {
  const words = useWords();
  const percent = usePercent();
  const categories = useCategories();
  return (
    <FilterBar label={words('gallery.search')}>
      <SearchField
        label={words('gallery.by-name')}
        value={filter.name ?? ''}
        onSearch={(name) => {
          onChange({ ...filter, name: name || undefined });
        }}
      />
      <NativeSelect
        aria-label={words('gallery.category')}
        value={filter.category ?? ''}
        data={[
          { value: '', label: words('gallery.any-category') },
          ...(categories.data?.categories ?? []).map(({ category }) => category),
        ]}
        onChange={(event) => {
          onChange({ ...filter, category: event.currentTarget.value || undefined });
        }}
      />
      <NativeSelect
        aria-label={words('gallery.gender')}
        value={filter.gender ?? ''}
        data={[
          { value: '', label: words('gallery.any-gender') },
          { value: 'female', label: words('gallery.female') },
          { value: 'male', label: words('gallery.male') },
        ]}
        onChange={(event) => {
          const gender = event.currentTarget.value as 'female' | 'male' | '';
          onChange({ ...filter, gender: gender || undefined });
        }}
      />
      <NativeSelect
        aria-label={words('gallery.quality')}
        value={String(filter.least_quality ?? '')}
        data={[
          { value: '', label: words('gallery.any-quality') },
          ...QUALITIES.map((value) => ({
            value: String(value),
            label: words('gallery.at-least', { quality: percent(value) }),
          })),
        ]}
        onChange={(event) => {
          onChange({ ...filter, least_quality: Number(event.currentTarget.value) || undefined });
        }}
      />
      <FileButton
        accept="image/*"
        inputProps={{ 'aria-label': words('gallery.by-photo') }}
        onChange={(file) => {
          if (file) onPhoto(file);
        }}
      >
        {(props) => (
          <Button variant="default" {...props}>
            {words('gallery.by-photo')}
          </Button>
        )}
      </FileButton>
    </FilterBar>
  );
}
