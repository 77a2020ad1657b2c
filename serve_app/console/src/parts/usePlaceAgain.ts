import { useElementScrollRestoration } from '@tanstack/react-router';
import { useLayoutEffect, useRef } from 'react';

/** Scrolls to where the reader left this page, once what is scrolled has its height. The router does so when the page is
 * drawn; after a reload, a list that is still to be read has no height then. */
export function usePlaceAgain(hasHeight: boolean): void {
  const left = useElementScrollRestoration({ getElement: () => globalThis.window });
  const hadHeight = useRef(false);
  useLayoutEffect(() => {
    if (!hasHeight || hadHeight.current) return;
    hadHeight.current = true;
    // A reader who scrolled meanwhile is where they want to be.
    if (left && globalThis.scrollY === 0) globalThis.scrollTo(left.scrollX, left.scrollY);
  }, [hasHeight, left]);
}
