import { useQuery } from '@tanstack/react-query';

import { api, ApiError, content, form } from './client';
import { queries } from './queries';
import type { components } from './schema';

type Schemas = components['schemas'];
export type Face = Schemas['FaceAnswer'];
export type Advice = Face['quality']['advice'][number];
export type Celebrity = Schemas['CelebrityMatch'];
export type Factor = keyof Schemas['FactorScores'];
export type Weights = Schemas['WeightsBody'];
export type Rarity = Schemas['Rarity'];
export type Comparison = Schemas['ComparisonAnswer'];
export type PhotoResult = Schemas['PhotoResult'];

/** A photo on the page. id: tells it from others, even of the same file. url: shows it, while the page is open. */
export interface Photo {
  id: number;
  file: File;
  url: string;
}

let photos = 0;

export function photoOf(file: File): Photo {
  photos += 1;
  return { id: photos, file, url: URL.createObjectURL(file) };
}

export function forget(photo: Photo): void {
  const key = shownKey(photo);
  const shown: string | undefined = queries.getQueryData(key);
  queries.removeQueries({ queryKey: key });
  URL.revokeObjectURL(photo.url);
  if (shown !== undefined) URL.revokeObjectURL(shown);
}

function shownKey({ id }: Photo) {
  return ['shown', id] as const;
}

/** The photo's own address where the browser draws the file, else that of a picture the service renders of it. */
async function drawable({ file, url }: Photo): Promise<string> {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return url;
  } catch {
    const asked = api.POST('/render-photo', { ...form([['file', file]]), parseAs: 'blob' });
    return URL.createObjectURL(await content<unknown>(asked) as Blob);
  }
}

/** The address of a picture that the browser draws; undefined until that is known, null for a photo it cannot draw. */
export function useShown(photo: Photo): string | null | undefined {
  const { data, error } = useQuery({
    queryKey: shownKey(photo),
    queryFn: () => drawable(photo),
    staleTime: Infinity,
    gcTime: Infinity,
    retry: false,
  });
  return error ? null : data;
}

/** Boxes and points are in pixels of the upright photo. */
export interface Size {
  width: number;
  height: number;
}

/**
 * All that is known of a photo. faces: largest first, each with its lookalikes. size: null where nothing was found.
 * weights: of the factors; null without lookalikes. problem: why there are none. call: what was asked. answer: as it came.
 */
export interface Look {
  faces: { face: Face; matches: Celebrity[] }[];
  found: number;
  size: Size | null;
  weights: Weights | null;
  problem: ApiError | null;
  call: string;
  answer: unknown;
}

const LOOKALIKES = '/lookalikes?faces=all';
const ANALYSIS = '/analyze-faces';

async function look({ file }: Photo): Promise<Look> {
  try {
    const asked = api.POST('/lookalikes', { params: { query: { faces: 'all' } }, ...form([['file', file]]) });
    const answer = (await content(asked)) as Schemas['LookalikesAnswer'];
    const { face, matches, others, faces_found: found, image: size, weights } = answer;
    return { faces: [{ face, matches }, ...others], found, size, weights, problem: null, call: LOOKALIKES, answer };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === 'no_face') {
      return { faces: [], found: 0, size: null, weights: null, problem: null, call: LOOKALIKES, answer: told(error) };
    }
    // The gallery belongs to another model pack. What is in the photo can be said all the same.
    if (error.code !== 'pack_mismatch') throw error;
    const asked = api.POST('/analyze-faces', form([['file', file]]));
    const answer = (await content(asked)) as Schemas['FacesAnswer'];
    const faces = answer.faces.map((face) => ({ face, matches: [] }));
    return { faces, found: faces.length, size: answer.image, weights: null, problem: error, call: ANALYSIS, answer };
  }
}

function told({ message, code, requestId }: ApiError) {
  return { error: message, code, request_id: requestId };
}

/** Finds the faces of a photo and who looks like each of them. */
export function useLook(photo: Photo) {
  return useQuery({ queryKey: ['look', photo.id], queryFn: () => look(photo), staleTime: Infinity });
}

/** What is in each of several photos, in one call: faces, or what is wrong with it. */
export function useOverview(chosen: Photo[]) {
  return useQuery({
    queryKey: ['overview', chosen.map(({ id }) => id)],
    queryFn: async () => {
      const files = chosen.map(({ file }): [string, File] => ['files', file]);
      const answer = (await content(api.POST('/analyze-faces/batch', form(files)))) as Schemas['PhotosAnswer'];
      return new Map(answer.results.map((result, place) => [chosen[place]?.id, result]));
    },
    enabled: chosen.length > 1,
    staleTime: Infinity,
  });
}

/** Whether two photos show the same person. */
export function useComparison(a: Photo | undefined, b: Photo | undefined) {
  return useQuery({
    queryKey: ['comparison', a?.id, b?.id],
    queryFn: async () => {
      const files: [string, File][] = a && b ? [['file_a', a.file], ['file_b', b.file]] : [];
      return (await content(api.POST('/compare-photos', form(files)))) as Comparison;
    },
    enabled: a !== undefined && b !== undefined,
    staleTime: Infinity,
  });
}
