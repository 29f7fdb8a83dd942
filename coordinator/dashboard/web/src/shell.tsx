// What surrounds every page of somebody who is signed in.
import { useEffect, useRef, useState, type ReactNode } from "react";
import { Link, usePath } from "./router";
import { mayAdminister, mayOversee, useSignOut } from "./session";
import { useTheme, type Theme } from "./theme";
import type { User } from "./schema";

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true" className="logo">
      <path d="M4 29V16a12 12 0 0 1 24 0v13h-5V16a7 7 0 0 0-14 0v13z" fill="currentColor" />
      <path d="M12.500 29V16.500a3.500 3.500 0 0 1 7 0V29z" fill="currentColor" opacity=".45" />
    </svg>
  );
}

export function Brand() {
  return (
    <span className="brand">
      <Logo /> adit
    </span>
  );
}

export function Shell({ me, version, children }: { me: User; version: string; children: ReactNode }) {
  const path = usePath();
  const [open, setOpen] = useState(false);
  const signOut = useSignOut();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);

  // Whoever uses a keyboard or a screen reader goes on at the new page, not at the link.
  useEffect(() => {
    setOpen(false);
    if (first.current) first.current = false;
    else main.current?.focus();
  }, [path]);

  const pages: [string, string][] = [
    ["/workspaces", "Workspaces"],
    ["/templates", "Templates"],
    ["/mesh", "Mesh"],
  ];
  if (mayOversee(me)) pages.push(["/health", "Health"]);
  if (mayAdminister(me)) pages.push(["/admin/users", "Administration"]);

  return (
    <>
      <a className="skip" href="#main" onClick={(e) => (e.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <header className="top">
        <Link href="/workspaces" className="home" aria-label="adit: your workspaces">
          <Brand />
        </Link>
        <button className="menu quiet" aria-expanded={open} aria-controls="nav" onClick={() => setOpen(!open)}>
          Menu
        </button>
        <nav id="nav" className={open ? "open" : ""} aria-label="Pages">
          {pages.map(([href, label]) => (
            <Link key={href} href={href} aria-current={isAt(path, href) ? "page" : undefined}>
              {label}
            </Link>
          ))}
          <span className="gap" />
          <ThemeChoice />
          <Link href="/account" aria-current={path === "/account" ? "page" : undefined}>
            {me.username}
          </Link>
          <button className="quiet" onClick={() => void signOut()}>
            Sign out
          </button>
        </nav>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {children}
      </main>
      <footer>
        <span>adit {version}</span>
        <a href="/api/docs">API</a>
      </footer>
    </>
  );
}

/** isAt reports whether a path is a page of the part that a link leads to. */
function isAt(path: string, href: string): boolean {
  return path.split("/")[1] === href.split("/")[1];
}

function ThemeChoice() {
  const [theme, setTheme] = useTheme();
  return (
    <select aria-label="Colours" className="quiet" value={theme} onChange={(e) => setTheme(e.target.value as Theme)}>
      <option value="system">Auto</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  );
}
