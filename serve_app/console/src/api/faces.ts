import { useMutation } from '@tanstack/react-query';

import { api, content } from './client';
import type { components } from './schema';

export type Face = components['schemas']['FaceAnswer'];
export type Faces = components['schemas']['FacesAnswer'];
export type Lookalikes = components['schemas']['LookalikesAnswer'];
export type Celebrity = components['schemas']['CelebrityMatch'];

function form(photo: File): FormData {
  const body = new FormData();
  body.append('file', photo);
  return body;
}

/** Finds all faces of a photo, and beside them the lookalikes of the largest. */
export function useAnalysis() {
  return useMutation({
    mutationFn: async (photo: File): Promise<{ photo: File; faces: Faces; lookalikes: Lookalikes | undefined }> => {
      const serialized = { body: {} as never, bodySerializer: () => form(photo) };
      const faces = (await content(api.POST('/analyze-faces', serialized))) as Faces;
      const lookalikes =
        faces.faces.length > 0 ? ((await content(api.POST('/lookalikes', serialized))) as Lookalikes) : undefined;
      return { photo, faces, lookalikes };
    },
  });
}
