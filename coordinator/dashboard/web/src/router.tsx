// Which page is shown is what the address says. Links are links: they open in
// another tab, and without a script's help they would still be addresses.
import { useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from "react";

const moved = "adit:moved";

function subscribe(f: () => void): () => void {
  addEventListener("popstate", f);
  addEventListener(moved, f);
  return () => {
    removeEventListener("popstate", f);
    removeEventListener(moved, f);
  };
}

/** navigate shows another page; in place, Back does not lead here again. */
export function navigate(to: string, inPlace = false): void {
  if (to === location.pathname + location.search) return;
  if (inPlace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  dispatchEvent(new Event(moved));
  if (!inPlace) scrollTo(0, 0);
}

export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

/** useQueryText is one value of the address's query, and how to change it in place. */
export function useQueryText(key: string): [string, (value: string) => void] {
  const value = useSyncExternalStore(subscribe, () => new URLSearchParams(location.search).get(key) ?? "");
  return [
    value,
    (next) => {
      const q = new URLSearchParams(location.search);
      if (next) q.set(key, next);
      else q.delete(key);
      const text = q.toString();
      navigate(location.pathname + (text ? "?" + text : ""), true);
    },
  ];
}

/** match returns what stands for the :names of a pattern, or nothing if a path is another. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split("/");
  const have = path.replace(/\/$/, "").split("/");
  if (want.length !== have.length) return undefined;
  const found: Record<string, string> = {};
  for (const [i, w] of want.entries()) {
    const h = have[i] ?? "";
    if (w.startsWith(":")) found[w.slice(1)] = decodeURIComponent(h);
    else if (w !== h) return undefined;
  }
  return found;
}

export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (e: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(e);
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    navigate(href);
  };
  return <a href={href} onClick={follow} {...rest} />;
}
