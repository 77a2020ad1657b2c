import { AppShell, Burger, Group, NavLink, Text } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { Notifications } from '@mantine/notifications';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';

import { useLive } from '../api/live';
import { useSession } from '../api/session';
import { Working } from '../parts/Working';
import { useWords } from '../words/useWords';
import { ConnectionLost } from './ConnectionLost';
import { LanguageMenu } from './LanguageMenu';
import { PAGES } from './pages';
import { SchemeSwitch } from './SchemeSwitch';
import { SessionMenu } from './SessionMenu';
import classes from './Shell.module.css';
import { SignedOut } from './SignedOut';
import { SignInPage } from './SignInPage';

const PRODUCT = 'Semblance';
const MAIN = 'main';

/** The frame around every page: where one can go, who is signed in, and how the page looks and speaks. */
export function Shell() {
  const words = useWords();
  const [opened, { toggle, close }] = useDisclosure();
  const session = useSession();
  const known = useRemembered(session.data);
  const live = useLive(Boolean(session.data));
  const { pathname } = useLocation();
  useFocusOnChange(pathname);
  useFocusKept();
  const menu = useRef<HTMLButtonElement>(null);
  const leave = () => {
    if (!opened) return;
    close();
    menu.current?.focus();
  };
  useHotkeys([['Escape', leave, { preventDefault: false }]]);

  return (
    <AppShell
      padding="md"
      transitionDuration={0}
      header={{ height: 56 }}
      navbar={{ width: 220, breakpoint: 'sm', collapsed: { mobile: !opened || !known, desktop: !known } }}
    >
      <a href={`#${MAIN}`} className={classes.skip}>
        {words('shell.skip')}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            {known && (
              <Burger
                ref={menu}
                opened={opened}
                onClick={toggle}
                hiddenFrom="sm"
                size="sm"
                aria-label={words('shell.menu')}
                aria-expanded={opened}
              />
            )}
            <img src="/console/icon.svg" alt="" width={28} height={28} />
            <Text fw={600} visibleFrom="xs">
              {PRODUCT}
            </Text>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <LanguageMenu />
            <SchemeSwitch />
            {session.data && <SessionMenu session={session.data} />}
          </Group>
        </Group>
      </AppShell.Header>
      {known && (
        <AppShell.Navbar p="xs" aria-label={words('shell.pages')} className={classes.pages} mod={{ opened }}>
          {PAGES.map(({ path, title, Icon }) => (
            <NavLink
              key={path}
              component={Link}
              to={path}
              activeOptions={{ exact: path === '/', includeSearch: false }}
              label={words(title)}
              leftSection={<Icon />}
              className={classes.link}
              onClick={close}
            />
          ))}
        </AppShell.Navbar>
      )}
      <AppShell.Main id={MAIN} tabIndex={-1} className={classes.main}>
        {/* First of the page, so that Tab leads from it to what a notice offers for a minute. */}
        <Notifications position="bottom-right" withinPortal={false} />
        {live === 'lost' && session.data && <ConnectionLost />}
        {session.isPending ? <Working /> : known ? <Outlet /> : <SignInPage error={session.error} />}
        <SignedOut opened={known && session.data === null} />
      </AppShell.Main>
    </AppShell>
  );
}

/** Whether somebody was signed in since the page was loaded: what they typed stays on it when that ends. */
function useRemembered(session: unknown): boolean {
  const [known, setKnown] = useState(false);
  if (session && !known) setKnown(true);
  return known;
}

/** A screen reader goes on with the new page, and so does the keyboard. */
function useFocusOnChange(pathname: string): void {
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    document.getElementById(MAIN)?.focus({ preventScroll: true });
  }, [pathname]);
}

/** Longer than a dialog that closes needs to give the focus back. */
const FOCUS_RETURNS_MS = 100;

/** What had the focus may be gone, as a row that was deleted: the keyboard goes on in the page, not before it. */
function useFocusKept(): void {
  useEffect(() => {
    let last: Element | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const remember = ({ target }: FocusEvent) => {
      last = target as Element;
    };
    const gone = new MutationObserver(() => {
      if (last === null || last.isConnected || document.activeElement !== document.body) return;
      last = null;
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (document.activeElement === document.body) document.getElementById(MAIN)?.focus({ preventScroll: true });
      }, FOCUS_RETURNS_MS);
    });
    document.addEventListener('focusin', remember);
    gone.observe(document.body, { childList: true, subtree: true });
    return () => {
      clearTimeout(timer);
      document.removeEventListener('focusin', remember);
      gone.disconnect();
    };
  }, []);
}
