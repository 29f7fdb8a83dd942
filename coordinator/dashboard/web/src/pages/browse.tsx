// The files of a workspace: looked at, brought here and sent there, peer to peer where
// that is possible.
import { useRef, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { message } from "../api";
import { askFiles, Refused, type Ask } from "../request";
import { useQueryText } from "../router";
import { usePeer, WayNow } from "./way";
import { Button, Empty, Failed, Loaded, size, When } from "../ui";
import { AgentPage } from "./agent";
import type { Peer } from "../terminal/peer";
import type { Workspace } from "../schema";

interface Entry {
  name: string;
  kind: "file" | "directory" | "link" | "other";
  size: number;
  modified_at: string;
  target?: string;
}

interface Listing {
  entries: Entry[];
  next?: string;
}

// As many entries of a directory are shown at first.
const pageOf = 500;
// What is brought here is put together in pieces that the browser may keep on its disk.
const blobOf = 4 << 20;

export default function FilesPage(of: { owner: string; name: string }) {
  return (
    <AgentPage of={of} what="files" without="Its files are there while it runs.">
      {(w, agent, chooser) => (
        <>
          {chooser && <p>{chooser}</p>}
          <Files key={agent.id} of={w} agent={agent.name} />
        </>
      )}
    </AgentPage>
  );
}

interface Transfer {
  id: number;
  name: string;
  up: boolean;
  done: number;
  of: number;
  stop: AbortController;
  ended?: string;
  failed?: boolean;
}

function Files({ of: w, agent }: { of: Workspace; agent: string }) {
  const [path, setPath] = useQueryText("path");
  const [transfers, setTransfers] = useState<Transfer[]>([]);
  const [most, setMost] = useState(pageOf);
  const cache = useQueryClient();
  const input = useRef<HTMLInputElement>(null);
  const at = `/api/v1/workspaces/${w.owner}/${w.name}/agents/${agent}/files/`;
  const peer = usePeer(w, agent);
  const listing = useQuery({
    queryKey: ["files", w.id, agent, path, most],
    retry: false,
    queryFn: ({ signal }) => askFor<Listing>(undefined, at, { method: "GET", path: `list?${new URLSearchParams({ path, limit: String(most) })}`, signal }),
  });
  const again = () => void cache.invalidateQueries({ queryKey: ["files", w.id, agent] });

  /** move moves a file, and shows how far it is. */
  const move = async (name: string, up: boolean, length: number, f: (ask: Pick<Ask, "signal">, moved: (n: number, of?: number) => void) => Promise<boolean>) => {
    const t: Transfer = { id: Date.now() + Math.random(), name, up, done: 0, of: length, stop: new AbortController() };
    const change = (to: Partial<Transfer>) => setTransfers((all) => all.map((x) => (x.id === t.id ? { ...x, ...to } : x)));
    setTransfers((all) => [...all.filter((x) => !x.ended || x.failed), t]);
    const start = performance.now();
    let told = 0;
    try {
      const direct = await f({ signal: t.stop.signal }, (done, of) => {
        const now = performance.now();
        if (now - told < 100) return; // as often as anybody sees
        told = now;
        change(of === undefined || of < 0 ? { done } : { done, of });
      });
      const s = (performance.now() - start) / 1000;
      change({ done: length, of: length, ended: `${up ? "Sent" : "Brought"} ${direct ? "peer to peer" : "through the coordinator"} in ${s.toFixed(1)} s` });
    } catch (err) {
      change({ failed: true, ended: err instanceof DOMException && err.name === "AbortError" ? "Stopped" : message(err) });
    }
    if (up) again();
  };

  const bring = (e: Entry) =>
    move(e.name, false, e.size, async (ask, moved) => {
      let blobs: Blob[] = [];
      let parts: Uint8Array<ArrayBuffer>[] = [];
      let waiting = 0;
      let done = 0;
      const { direct, status } = await askFiles(peer, at, {
        ...ask,
        method: "GET",
        path: `file?${new URLSearchParams({ path: join(path, e.name) })}`,
        again: () => {
          blobs = [];
          parts = [];
          waiting = done = 0;
        },
        take: (p, of) => {
          parts.push(p);
          waiting += p.length;
          if (waiting >= blobOf) {
            blobs.push(new Blob(parts));
            parts = [];
            waiting = 0;
          }
          moved((done += p.length), of);
        },
      });
      const whole = new Blob([...blobs, ...parts], { type: "application/octet-stream" });
      if (status !== 200) throw new Refused(whole.size < 4096 ? await whole.text() : `It was answered with ${status}.`);
      const to = URL.createObjectURL(whole);
      const a = Object.assign(document.createElement("a"), { href: to, download: e.name });
      a.click();
      setTimeout(() => URL.revokeObjectURL(to), 60_000); // the browser has it by then
      return direct;
    });

  const send = (file: File) =>
    move(file.name, true, file.size, async (ask, moved) => {
      let said = new Blob();
      const { direct, status } = await askFiles(peer, at, {
        ...ask,
        method: "PUT",
        path: `file?${new URLSearchParams({ path: join(path, file.name) })}`,
        body: file,
        headers: { "Content-Type": "application/octet-stream" },
        sent: (n) => moved(n),
        again: () => (said = new Blob()),
        take: (p) => (said = new Blob([said, p])),
      });
      if (status !== 200) throw new Refused(said.size ? await said.text() : `It was answered with ${status}.`);
      return direct;
    });

  const parts = path.split("/").filter((p) => p !== "");
  return (
    <>
      <div className="inline">
        <nav className="path" aria-label="Where this is">
          <Button className="quiet" onClick={() => setPath("")} aria-current={path === "" || undefined}>
            Home
          </Button>
          <Button className="quiet" onClick={() => setPath("/")} aria-current={path === "/" || undefined}>
            /
          </Button>
          {parts.map((p, i) => {
            const to = (path.startsWith("/") ? "/" : "") + parts.slice(0, i + 1).join("/");
            return (
              <Button key={to} className="quiet" onClick={() => setPath(to)} aria-current={to === path || undefined}>
                {p}
              </Button>
            );
          })}
        </nav>
        <input
          ref={input}
          type="file"
          multiple
          hidden
          aria-label="Files to send"
          onChange={(e) => {
            for (const f of e.target.files ?? []) void send(f);
            e.target.value = "";
          }}
        />
        <Button className="main" onClick={() => input.current?.click()}>
          Send files
        </Button>
      </div>
      {transfers.length > 0 && (
        <ul className="plain transfers" aria-label="What is under way">
          {transfers.map((t) => (
            <li key={t.id}>
              <span className="name">{t.name}</span>
              <progress value={t.of > 0 ? t.done / t.of : t.ended && !t.failed ? 1 : 0} aria-label={(t.up ? "Sending " : "Bringing ") + t.name} />
              <span className={t.failed ? "wrong" : "soft"} role={t.ended ? "status" : undefined}>
                {t.ended ?? `${size(t.done)} of ${size(t.of)}`}
              </span>
              <Button
                className="quiet"
                aria-label={(t.ended ? "Forget " : "Stop ") + t.name}
                onClick={() => (t.ended ? setTransfers((all) => all.filter((x) => x.id !== t.id)) : t.stop.abort())}
              >
                {t.ended ? "Forget" : "Stop"}
              </Button>
            </li>
          ))}
        </ul>
      )}
      <Failed err={listing.data && listing.error} />
      <Loaded of={listing} what="the files" rows={5}>
        {(l) =>
          l.entries.length === 0 ? (
            <Empty title="Nothing is here">Send a file, or make one in a terminal.</Empty>
          ) : (
            <>
              <div className="scroll" tabIndex={0} role="region" aria-label="Files">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Name</th>
                      <th scope="col">Size</th>
                      <th scope="col">Changed</th>
                      <th scope="col">
                        <span className="unseen">What can be done</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {l.entries.map((e) => (
                      <tr key={e.name}>
                        <td>
                          {e.kind === "directory" ? (
                            <Button className="quiet" onClick={() => setPath(join(path, e.name))}>
                              {e.name}/
                            </Button>
                          ) : (
                            <span>
                              {e.name}
                              {e.target && <span className="soft"> → {e.target}</span>}
                            </span>
                          )}
                        </td>
                        <td>{e.kind === "file" ? size(e.size) : ""}</td>
                        <td>
                          <When at={e.modified_at} />
                        </td>
                        <td className="last">
                          {e.kind !== "directory" && e.kind !== "other" && (
                            <Button className="quiet" aria-label={"Get " + e.name} onClick={() => void bring(e)}>
                              Get
                            </Button>
                          )}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {l.next && (
                <button className="more" onClick={() => setMost(most + pageOf)} disabled={listing.isFetching}>
                  Show more
                </button>
              )}
            </>
          )
        }
      </Loaded>
      <WayNow of={peer} />
    </>
  );
}

function join(dir: string, name: string): string {
  return dir === "" || dir.endsWith("/") ? dir + name : dir + "/" + name;
}

async function askFor<T>(peer: Peer | undefined, at: string, of: Omit<Ask, "again" | "take">): Promise<T> {
  let said = new Blob();
  const { status } = await askFiles(peer, at, { ...of, again: () => (said = new Blob()), take: (p) => (said = new Blob([said, p])) });
  const text = await said.text();
  if (status !== 200) throw new Refused(text.length < 1000 ? text : `It was answered with ${status}.`);
  return JSON.parse(text) as T;
}
