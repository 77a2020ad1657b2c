import { useWords } from '../words/useWords';
import { oneOf } from './address';

/** Kinds of those who change something. */
export const ACTORS = ['admin', 'console', 'command', 'service'] as const;

/** Names who did something. Of most only an id is known, which says less than the kind. */
export function useActor(): (actor: string) => string {
  const words = useWords();
  return (actor) => {
    const [kind = '', rest = ''] = actor.split(':', 2);
    if (oneOf(ACTORS, kind) === undefined) return kind;
    return words(`parts.actor.${kind}`) + (kind === 'command' ? ` (${rest})` : '');
  };
}
