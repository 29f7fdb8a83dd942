// What changes is told as it changes: a watch of the coordinator's, resumed where
// it was when the connection broke. A page that nobody sees watches nothing, since
// a browser has few connections to one host.
import { useEffect, useRef } from "react";
import type { Change } from "./schema";

interface Watcher {
  /** again is called when there may have been changes that were not told. */
  again: () => void;
  change: (c: Change) => void;
}

/** useWatch tells of changes until the page is left. An empty topic is none. */
export function useWatch(topic: string, watcher: Watcher): void {
  const latest = useRef(watcher);
  useEffect(() => {
    latest.current = watcher;
  });
  useEffect(() => {
    if (!topic) return;
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let version = -1;
    let ended = false;

    const open = () => {
      clearTimeout(retry);
      source?.close();
      if (ended || document.hidden) return;
      const fresh = version < 0;
      source = new EventSource(`/api/v1/watch/${topic}${topic.includes("?") ? "&" : "?"}after=${version}`);
      source.addEventListener("ready", (e) => {
        note(e);
        if (fresh) latest.current.again();
      });
      source.addEventListener("change", (e) => {
        note(e);
        latest.current.change(JSON.parse(e.data) as Change);
      });
      source.addEventListener("gone", restart);
      source.onerror = () => {
        // The browser comes back by itself, unless it was refused.
        if (source?.readyState === EventSource.CLOSED) restart();
      };
    };
    const note = (e: MessageEvent) => {
      if (e.lastEventId) version = Number(e.lastEventId);
    };
    const restart = () => {
      source?.close();
      version = -1;
      clearTimeout(retry);
      retry = setTimeout(open, 2000); // as often as a watch that is refused asks again
    };
    const seen = () => {
      if (document.hidden) source?.close();
      else open();
    };
    open();
    document.addEventListener("visibilitychange", seen);
    return () => {
      ended = true;
      clearTimeout(retry);
      source?.close();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [topic]);
}
