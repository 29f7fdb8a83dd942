// Which sessions are shown where. It is kept by this browser, so that a page that is
// loaded again shows what it did; the sessions are kept by the workspace.
import { useEffect, useState } from "react";

/** Tab has columns of sessions, one below the other. */
export interface Tab {
  columns: string[][];
}

export interface Layout {
  tabs: Tab[];
  at: number;
  session: string; // the one that is typed into
}

const first: Layout = { tabs: [{ columns: [["web"]] }], at: 0, session: "web" };

function all(l: Layout): string[] {
  return l.tabs.flatMap((t) => t.columns.flat());
}

/** another is a name that no session of a layout has. */
function another(l: Layout): string {
  const taken = new Set(all(l));
  for (let i = 1; ; i++) {
    const name = i === 1 ? "web" : "web-" + i;
    if (!taken.has(name)) return name;
  }
}

export function addTab(l: Layout): Layout {
  const session = another(l);
  return { tabs: [...l.tabs, { columns: [[session]] }], at: l.tabs.length, session };
}

export function split(l: Layout, way: "right" | "down"): Layout {
  const session = another(l);
  const columns = l.tabs[l.at]!.columns.flatMap((c) => {
    if (!c.includes(l.session)) return [c];
    return way === "right" ? [c, [session]] : [[...c.slice(0, c.indexOf(l.session) + 1), session, ...c.slice(c.indexOf(l.session) + 1)]];
  });
  return { ...l, tabs: l.tabs.map((t, i) => (i === l.at ? { columns } : t)), session };
}

export function without(l: Layout, session: string): Layout {
  const tabs = l.tabs
    .map((t) => ({ columns: t.columns.map((c) => c.filter((s) => s !== session)).filter((c) => c.length > 0) }))
    .filter((t) => t.columns.length > 0);
  if (tabs.length === 0) return first;
  const before = l.tabs.slice(0, l.at).filter((t) => t.columns.flat().some((s) => s !== session)).length;
  const at = Math.min(before, tabs.length - 1);
  const left = tabs[at]!.columns.flat();
  return { tabs, at, session: left.includes(l.session) ? l.session : left[0]! };
}

export function showTab(l: Layout, at: number): Layout {
  const sessions = l.tabs[at]!.columns.flat();
  return { ...l, at, session: sessions.includes(l.session) ? l.session : sessions[0]! };
}

const name = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;

function read(key: string): Layout {
  try {
    const l = JSON.parse(localStorage.getItem(key) ?? "") as Layout;
    const sound = l.tabs[l.at] !== undefined && all(l).length > 0 && all(l).every((s) => name.test(s)) && all(l).includes(l.session);
    return sound ? l : first;
  } catch {
    return first;
  }
}

export function useLayout(of: string): [Layout, (change: (l: Layout) => Layout) => void] {
  const key = "adit:terminals:" + of;
  const [layout, setLayout] = useState(() => read(key));
  useEffect(() => localStorage.setItem(key, JSON.stringify(layout)), [key, layout]);
  return [layout, setLayout];
}
