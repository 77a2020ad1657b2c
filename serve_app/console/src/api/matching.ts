import { skipToken, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

type Schemas = components['schemas'];
export type Settings = Schemas['SettingsAnswer'];
export type Weights = Schemas['WeightsBody'];
export type Factor = keyof Weights;
export type Scores = Schemas['ScoreHistogramAnswer'];
export type Preview = Schemas['SettingsPreviewAnswer'];
export type Rescoring = Schemas['RescoringAnswer'];

/** Rules of matching that somebody tries. */
export interface Rules {
  weights: Weights;
  threshold: number;
}

export function useSettings() {
  return useQuery({ queryKey: ['settings'], queryFn: () => content(api.GET('/api/admin/settings')) });
}

/** The scores there are. They change when matches are rescored. */
export function useScores(rescoring: Rescoring | null | undefined) {
  return useQuery({
    queryKey: ['scores', rescoring?.id, rescoring?.status],
    queryFn: () => content(api.GET('/api/admin/matching/scores')),
    placeholderData: (before) => before,
  });
}

/** What rules would change; the answer to rules that are no longer tried is not waited for. null: none are tried. */
export function usePreview(rules: Rules | null) {
  return useQuery({
    queryKey: ['settings', 'preview', rules],
    queryFn:
      rules === null
        ? skipToken
        : ({ signal }) => content(api.POST('/api/admin/settings/preview', { body: rules, signal })),
    placeholderData: (before) => before,
    retry: false,
  });
}

export function useSaveRules() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ weights, threshold }: Rules) =>
      content(api.PATCH('/api/admin/settings', { body: { matching_weights: weights, match_threshold: threshold } })),
    onSuccess: (settings) => {
      client.setQueryData(['settings'], settings);
    },
  });
}

export function useRescoring() {
  return useQuery({
    queryKey: ['jobs', 'rescoring'],
    queryFn: async () => (await content(api.GET('/api/admin/matching/rescoring'))).rescoring,
  });
}

export function useStartRescoring() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => content(api.POST('/api/admin/matching/rescoring')),
    onSuccess: ({ rescoring }) => {
      client.setQueryData(['jobs', 'rescoring'], rescoring);
    },
  });
}
