// What a port of a workspace shows, asked for peer to peer where that is possible: a
// picture of its page. Its scripts run where it has an origin of its own, by its dev URL.
import { useEffect, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { dataOf, draw, dress, pathOf, type Got, type Picture } from "../preview/picture";
import { askPort, Refused } from "../request";
import { useQueryText } from "../router";
import { Button, Empty, Failed, Loaded, size } from "../ui";
import { AgentPage } from "./agent";
import { usePeer, WayNow } from "./way";
import type { Peer } from "../terminal/peer";
import type { Workspace } from "../schema";

// How much an answer may have: the page holds it in memory, more than once.
const most = 8 << 20;
// How long one may take, and how many redirections lead to it.
const patience = 20_000;
const redirections = 5;

export default function PreviewPage(of: { owner: string; name: string }) {
  const [text] = useQueryText("port");
  const port = Number(text);
  return (
    <AgentPage of={of} what="preview" without="What its ports show is there while it runs.">
      {(w, agent, chooser) =>
        Number.isInteger(port) && port > 0 && port < 65536 ? (
          <>
            {chooser && <p>{chooser}</p>}
            <Preview key={agent.id + port} of={w} agent={agent.name} port={port} />
          </>
        ) : (
          <Empty title="No port is named">The ports that listen are on the workspace's page.</Empty>
        )
      }
    </AgentPage>
  );
}

interface Shown extends Got {
  path: string;
  ms: number;
  picture?: Picture;
  text?: string;
  image?: string;
}

function Preview({ of: w, agent, port }: { of: Workspace; agent: string; port: number }) {
  const [named, setPath] = useQueryText("path");
  const path = named || "/";
  const [typed, setTyped] = useState(path);
  const peer = usePeer(w, agent, port);
  const at = `/api/v1/workspaces/${w.owner}/${w.name}/agents/${agent}/ports/${port}/preview`;
  useEffect(() => setTyped(path), [path]);
  const shown = useQuery({
    queryKey: ["preview", w.id, agent, port, path],
    enabled: peer !== undefined || !("RTCPeerConnection" in window),
    retry: false,
    gcTime: 0,
    refetchOnWindowFocus: false,
    queryFn: ({ signal }) => look(peer, at, port, path, signal),
  });
  return (
    <>
      <form
        className="inline"
        onSubmit={(e) => {
          e.preventDefault();
          const to = typed.startsWith("/") ? typed : "/" + typed;
          if (to === path) void shown.refetch();
          else setPath(to);
        }}
      >
        <label className="address">
          <span className="unseen">Path at port {port}</span>
          <span aria-hidden="true">:{port}</span>
          <input value={typed} onChange={(e) => setTyped(e.target.value)} spellCheck={false} autoCapitalize="off" />
        </label>
        <Button type="submit" className="main" busy={shown.isFetching}>
          Show
        </Button>
      </form>
      <Failed err={shown.data && shown.error} />
      <Loaded of={shown} what="the page" rows={5}>
        {(s) => (
          <>
            <p className="soft">
              {s.status}, {s.type || "of no type"}, {size(s.body.size)} {s.direct ? "peer to peer" : "through the coordinator"} in {Math.round(s.ms)} ms
              {s.picture?.scripted && "; it has scripts, which do not run here"}
            </p>
            <Body of={s} port={port} go={setPath} />
          </>
        )}
      </Loaded>
      <WayNow of={peer} />
    </>
  );
}

function Body({ of: s, port, go }: { of: Shown; port: number; go: (path: string) => void }) {
  const frame = useRef<HTMLIFrameElement>(null);
  if (s.picture) {
    const { html, styles } = s.picture;
    const loaded = () => {
      const doc = frame.current?.contentDocument;
      if (!doc) return;
      dress(doc, styles);
      doc.addEventListener("click", (e) => {
        const link = (e.target as Element | null)?.closest?.("a[href]");
        if (!link) return;
        e.preventDefault();
        const to = pathOf(link.getAttribute("href")!, addressOf(port, s.path));
        if (to !== undefined) go(to);
      });
    };
    return <iframe ref={frame} className="preview" title={`What port ${port} shows`} sandbox="allow-same-origin" srcDoc={html} onLoad={loaded} />;
  }
  if (s.image) return <img className="preview" src={s.image} alt={`What port ${port} shows at ${s.path}`} />;
  if (s.text !== undefined)
    return (
      <pre className="lines log" tabIndex={0} aria-label={`What port ${port} shows`}>
        {s.text || "Nothing."}
      </pre>
    );
  return <Empty title="This is no page">It is {s.type || "of no type"}, which is not shown here.</Empty>;
}

function addressOf(port: number, path: string): URL {
  return new URL(`http://localhost:${port}${path}`);
}

/** look asks for what a port shows at a path, and where that leads to. */
async function look(peer: Peer | undefined, at: string, port: number, path: string, signal: AbortSignal): Promise<Shown> {
  const start = performance.now();
  let got = await get(peer, at, port, path, signal);
  for (let i = 0; got.status >= 300 && got.status < 400 && got.location !== undefined && i < redirections; i++) {
    const to = pathOf(got.location, addressOf(port, path));
    if (to === undefined) throw new Refused(`It leads elsewhere, to ${got.location.slice(0, 200)}.`);
    path = to;
    got = await get(peer, at, port, path, signal);
  }
  const ms = performance.now() - start;
  const shown: Shown = { ...got, path, ms };
  const type = got.type.split(";")[0]!.trim().toLowerCase();
  if (type === "text/html" || type === "application/xhtml+xml")
    shown.picture = await draw(await got.body.text(), addressOf(port, path), (part) => get(peer, at, port, part, signal));
  else if (type.startsWith("text/") || /[/+](json|xml|javascript|yaml)$/.test(type) || got.body.size === 0) shown.text = await got.body.text();
  else if (type.startsWith("image/")) shown.image = await dataOf(new Blob([got.body], { type }));
  return shown;
}

async function get(peer: Peer | undefined, at: string, port: number, path: string, signal: AbortSignal): Promise<Got> {
  let parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const stop = new AbortController();
  let why = "The port does not answer.";
  const timeout = setTimeout(() => stop.abort(), patience);
  try {
    const { status, headers, direct } = await askPort(peer, at, port, {
      method: "GET",
      path,
      headers: { Accept: "text/html,*/*" },
      signal: AbortSignal.any([signal, stop.signal]),
      again: () => ((parts = []), (bytes = 0)),
      take: (p) => {
        parts.push(p);
        if ((bytes += p.length) <= most) return;
        why = `It is larger than ${size(most)}, which is not shown here.`;
        stop.abort();
      },
    });
    const body = new Blob(parts);
    if (headers["Failed"]) throw new Refused((await body.text()).trim());
    return { status, type: headers["Content-Type"] ?? "", location: headers["Location"], body, direct };
  } catch (err) {
    if (stop.signal.aborted && !signal.aborted) throw new Refused(why);
    throw err;
  } finally {
    clearTimeout(timeout);
  }
}
