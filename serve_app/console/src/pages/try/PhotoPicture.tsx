import { type Photo, useShown } from '../../api/faces';
import { Picture } from '../../parts/Picture';

/** A photo on the page, small; its name stands beside it. */
export function PhotoPicture({ photo }: { photo: Photo }) {
  return <Picture src={useShown(photo)} alt="" />;
}
