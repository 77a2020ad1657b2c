import type { UseInfiniteQueryResult } from '@tanstack/react-query';

import { ErrorState } from './ErrorState';

type List = Pick<
  UseInfiniteQueryResult,
  'error' | 'fetchNextPage' | 'hasNextPage' | 'isFetching' | 'isFetchNextPageError'
>;

/**
 * Reads the next page of a list; undefined at the end of the list and while one is on its way. A page that could not be
 * read is read again when somebody asks: a list asks whenever it is drawn, and would ask without end.
 */
export function moreOf(list: List): (() => void) | undefined {
  if (!list.hasNextPage || list.isFetching || list.isFetchNextPageError) return undefined;
  return () => void list.fetchNextPage();
}

/** Stands where a list breaks off because its next page could not be read. */
export function ListBreak({ list }: { list: List }) {
  if (!list.isFetchNextPageError || !list.error) return null;
  return <ErrorState error={list.error} again={() => void list.fetchNextPage()} />;
}
