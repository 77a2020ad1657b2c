/** What the content security policy of this answer lets styles carry that are made while the page runs. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="style-nonce"]')?.content ?? '';
}
