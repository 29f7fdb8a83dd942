// Who is linked to whom, and by which path.
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask } from "../api";
import { useWatch } from "../live";
import { Link, useQueryText } from "../router";
import { useMe } from "../session";
import { Badge, Empty, Loaded, Page } from "../ui";
import { Picture } from "./picture";
import type { Connection, PathView, Workspace } from "../schema";

const bytes = new Intl.NumberFormat("en", { notation: "compact", style: "unit", unit: "byte", unitDisplay: "narrow" });

// How often bytes are asked for: ends tell of them about as often, and of no other change.
const bytesEvery = 30_000;

export default function Mesh() {
  const me = useMe().data;
  const [whoseText, setWhose] = useQueryText("whose");
  const whose = whoseText === "all" ? "all" : "me";
  const cache = useQueryClient();
  const list = useQuery({
    queryKey: ["mesh", whose],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/workspaces", { params: { query: { owner: whose, q: "status:running", cursor, limit: 500 } } })), 500),
  });
  const links = useQueries({
    queries: (list.data ?? []).map((w) => ({
      queryKey: ["connections", w.id],
      queryFn: () => all((cursor) => ask(api.GET("/api/v1/workspaces/{owner}/{name}/connections", { params: { path: { owner: w.owner, name: w.name }, query: { cursor, limit: 500 } } }))),
      refetchInterval: bytesEvery,
    })),
  });
  const mayAll = me?.role === "owner" || me?.role === "auditor";
  const relays = useQuery({ queryKey: ["mesh-relays"], queryFn: () => all((cursor) => ask(api.GET("/api/v1/relays", { params: { query: { cursor, limit: 500 } } }))), enabled: mayAll });
  useWatch("mesh?owner=" + whose, {
    again: () => {
      void cache.invalidateQueries({ queryKey: ["mesh"] });
      void cache.invalidateQueries({ queryKey: ["connections"] });
    },
    change: (c) => {
      if (c.workspace_id) void cache.invalidateQueries({ queryKey: ["connections", c.workspace_id] });
      if (c.kind !== "link") void cache.invalidateQueries({ queryKey: ["mesh"] });
    },
  });
  return (
    <Page
      title="Mesh"
      actions={
        mayAll && (
          <select aria-label="Whose workspaces" value={whose} onChange={(e) => setWhose(e.target.value === "me" ? "" : e.target.value)}>
            <option value="me">My workspaces</option>
            <option value="all">Everybody's</option>
          </select>
        )
      }
    >
      <Loaded of={list} what="the mesh">
        {(workspaces) => {
          if (workspaces.length === 0) return <Empty title="Nothing runs">Links are between people's machines and workspaces that run.</Empty>;
          if (links.some((l) => l.isPending) || (mayAll && relays.isPending)) return <p className="soft">Looking at links…</p>; // what comes late would move the rest
          const regions = relays.data?.filter((r) => r.connected).map((r) => r.region.code) ?? [];
          return (
            <div className="stack wide">
              <Picture of={workspaces.map((workspace, i) => ({ workspace, links: links[i]?.data ?? [] }))} relays={regions} />
              {workspaces.map((w, i) => (
                <Node key={w.id} of={w} links={links[i]?.data} />
              ))}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function Node({ of: w, links }: { of: Workspace; links: Connection[] | undefined }) {
  return (
    <section className="panel">
      <h2>
        <Link href={`/workspaces/${w.owner}/${w.name}`}>
          {w.owner}/{w.name}
        </Link>
      </h2>
      <ul className="plain">
        {w.agents?.map((a) => (
          <li key={a.id}>
            <strong>{a.name}</strong> <Badge tone={a.state === "connected" ? "good" : "warn"}>{a.state}</Badge> <code className="soft">{a.address}</code>
            {links?.filter((l) => l.agent === a.name).map((l) => (
              <div className="link" key={l.client_node_id}>
                <strong>{l.client}</strong> {!l.client_connected && <span className="soft">has no control session</span>}
                <dl className="facts">
                  <Side label="as its machine sees it" of={l.by_client} />
                  <Side label="as the agent sees it" of={l.by_agent} />
                </dl>
              </div>
            ))}
            {links?.every((l) => l.agent !== a.name) && <p className="soft">Nobody is linked to it.</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Side({ label, of: p }: { label: string; of: PathView | null }) {
  return (
    <>
      <dt>{label}</dt>
      <dd>
        {!p ? (
          <span className="soft">not told yet</span>
        ) : (
          <>
            <Badge tone={p.path === "direct" ? "good" : p.path === "none" ? "idle" : "warn"}>
              {p.path}
              {p.region ? " via " + p.region : ""}
            </Badge>{" "}
            <span className="soft">
              {p.rtt_ms !== undefined && `${p.rtt_ms.toFixed(1)} ms, `}
              packets up to {p.mtu} bytes, {bytes.format(p.tx_bytes ?? 0)} sent, {bytes.format(p.rx_bytes ?? 0)} received
            </span>
            {p.verdict && (
              <p>
                <code>{p.verdict.code}</code> {p.verdict.evidence} <strong>{p.verdict.fix}</strong>
              </p>
            )}
          </>
        )}
      </dd>
    </>
  );
}
