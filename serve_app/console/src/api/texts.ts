import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type Texts = Schemas['TextsAnswer'];
export type Generation = Schemas['GenerationDaySummary'];

/** How texts are made, and their queue. */
export function useTexts() {
  return useQuery({ queryKey: ['jobs', 'texts'], queryFn: () => content(api.GET('/api/admin/texts')) });
}

/** Calls for texts of so many days. */
export function useTextCalls(days: number) {
  return useQuery({
    queryKey: ['jobs', 'text-calls', days],
    queryFn: async () => {
      const { generations } = await content(api.GET('/api/admin/generations', { params: { query: { days } } }));
      return generations.filter(({ kind }) => kind !== 'baby');
    },
  });
}

/** What is done with texts where an admin has switched it on. */
export type TextSwitch = 'text_generation' | 'profile_search' | 'message_search';

/** Switches something on or off, for everybody. */
export function useSwitchTexts(setting: TextSwitch) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (on: boolean) => content(api.PATCH('/api/admin/settings', { body: { [setting]: on } })),
    onSuccess: (settings) => {
      client.setQueryData(['settings'], settings);
    },
  });
}
