import type { Preview } from '../../api/matching';

export const KINDS = ['appear', 'vanish', 'move'] as const;
export type Kind = (typeof KINDS)[number];

interface Shown {
  name: string | null;
  picture: string;
}

/** A pair on a list now or under the rules that are tried. places: on the list, before and after; null: not on it. */
export interface Change {
  id: string;
  left: Shown;
  right: Shown;
  scores: [number, number];
  places: [number | null, number | null];
}

export type Lists = Record<Kind, Change[]>;

type Users = Preview['user_matches'];
type Celebrities = Preview['celebrity_matches'];
type Face = Users['moving'][number]['a'];

/** The place that changes more, of the two lists that a pair of users is on. */
function places(a: Face, b: Face): [number | null, number | null] {
  const way = ({ rank_before: before, rank_after: after }: Face) =>
    before === after ? 0 : before === null || after === null ? Infinity : Math.abs(before - after);
  const { rank_before, rank_after } = way(b) > way(a) ? b : a;
  return [rank_before, rank_after];
}

function shown({ name, picture_url: picture }: { name: string | null; picture_url: string }): Shown {
  return { name, picture };
}

export function userChange({ appearing, vanishing, moving }: Users): Lists {
  const read = (matches: Users['moving']) =>
    matches.map(
      ({ id, a, b, before, after }): Change => ({
        id,
        left: shown(a),
        right: shown(b),
        scores: [before.similarity_score, after.similarity_score],
        places: places(a, b),
      }),
    );
  return { appear: read(appearing), vanish: read(vanishing), move: read(moving) };
}

export function celebrityChange({ appearing, vanishing, moving }: Celebrities): Lists {
  const read = (matches: Celebrities['moving']) =>
    matches.map(
      ({ id, face, celebrity, before, after }): Change => ({
        id,
        left: shown(face),
        right: shown(celebrity),
        scores: [before.similarity_score, after.similarity_score],
        places: [face.rank_before, face.rank_after],
      }),
    );
  return { appear: read(appearing), vanish: read(vanishing), move: read(moving) };
}
