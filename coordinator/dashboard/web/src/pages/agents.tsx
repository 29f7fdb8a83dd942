// The agents of a workspace: how each is doing, its scripts, apps, ports, and who is there.
import { useState, type ReactNode } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask } from "../api";
import { LogView } from "../log";
import { Link } from "../router";
import { useMe } from "../session";
import { Badge, Button, Failed, Loaded, Waiting, When } from "../ui";
import type { Agent, Connection, Port, ScriptStatus, Workspace, WorkspaceApp } from "../schema";

const agentTones = { connecting: "busy", connected: "good", disconnected: "warn", timeout: "bad" } as const;
const scriptTones = { waiting: "idle", running: "busy", succeeded: "good", failed: "bad", timeout: "bad", skipped: "idle", restarting: "warn" } as const;
const appTones = { unchecked: "idle", starting: "busy", healthy: "good", unhealthy: "bad" } as const;

export function Agents({ of: w }: { of: Workspace }) {
  const path = { owner: w.owner, name: w.name };
  const live = w.phase === "running";
  const apps = useQuery({ queryKey: ["apps", w.id], queryFn: () => ask(api.GET("/api/v1/workspaces/{owner}/{name}/apps", { params: { path } })) });
  const ports = useQuery({ queryKey: ["ports", w.id], enabled: live, queryFn: () => ask(api.GET("/api/v1/workspaces/{owner}/{name}/ports", { params: { path } })) });
  const there = useQuery({
    queryKey: ["connections", w.id],
    enabled: live,
    refetchInterval: 10_000, // links are the owner's to watch, and this is shown to others, too
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/workspaces/{owner}/{name}/connections", { params: { path, query: { cursor, limit: 500 } } }))),
  });
  // All at once: what came later would move what somebody reads.
  if (apps.isPending || (live && (ports.isPending || there.isPending))) return <Waiting label="Reading the agents" rows={5} />;
  if (!w.agents?.length) return <p className="soft">It has no agents{w.phase === "stopped" ? " while it is stopped" : " yet"}.</p>;
  return (
    <>
      {w.agents.map((a) => (
        <section className="panel" key={a.id}>
          <h2>
            {a.name} <Badge tone={live || w.external ? agentTones[a.state] : "idle"}>{live || w.external ? a.state : "stopped"}</Badge>
          </h2>
          {a.state === "connected" && (live || w.external) && w.shared !== "apps" && (
            <p>
              <Link className="button" href={`/workspaces/${w.owner}/${w.name}/terminal?agent=${a.name}`}>
                Terminal
              </Link>{" "}
              <Link className="button" href={`/workspaces/${w.owner}/${w.name}/files?agent=${a.name}`}>
                Files
              </Link>
            </p>
          )}
          <dl className="facts">
            <dt>Address</dt>
            <dd>
              <code>{a.address}</code>
            </dd>
            {a.version && (
              <>
                <dt>Version</dt>
                <dd>{a.version}</dd>
              </>
            )}
            <dt>{a.state === "connected" ? "Connected" : "Last seen"}</dt>
            <dd>
              <When at={a.state === "connected" ? a.last_connected_at : (a.disconnected_at ?? a.last_connected_at)} />
            </dd>
            {live &&
              a.metadata?.map((m) => (
                <Measured key={m.key} name={m.display_name || m.key} value={m.error || m.value || "…"} bad={!!m.error} />
              ))}
          </dl>
          {live && <Apps list={apps.data?.items?.filter((x) => x.agent === a.name) ?? []} />}
          {live && (
            <Loaded of={ports} what="ports" rows={1}>
              {(p) => <Ports of={w} list={p.items?.filter((x) => x.agent === a.name) ?? []} />}
            </Loaded>
          )}
          <Scripts of={w} agent={a} />
          {live && there.data && <Sessions list={there.data.filter((c) => c.agent === a.name)} />}
        </section>
      ))}
    </>
  );
}

/** Out leads to what a workspace serves, which is no page of ours. */
function Out({ to, children }: { to: string; children: ReactNode }) {
  return (
    <a href={to} target="_blank" rel="noreferrer">
      <strong>{children}</strong>
    </a>
  );
}

function Measured({ name, value, bad }: { name: string; value: string; bad: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className={bad ? "wrong" : undefined}>{value}</dd>
    </>
  );
}

function Apps({ list }: { list: WorkspaceApp[] }) {
  if (list.length === 0) return null;
  return (
    <>
      <h3>Apps</h3>
      <ul className="chips">
        {list.map((a) => (
          <li key={a.slug}>
            {a.link ? <Out to={a.link}>{a.display_name || a.slug}</Out> : <strong>{a.display_name || a.slug}</strong>} <Badge tone={appTones[a.state]}>{a.state}</Badge>
            {a.why && <p className="soft">{a.why}</p>}
          </li>
        ))}
      </ul>
    </>
  );
}

const visibilities: [Port["visibility"], string][] = [
  ["owner", "for its owner"],
  ["authenticated", "for all who sign in"],
  ["public", "for everybody"],
];

function Ports({ of: w, list }: { of: Workspace; list: Port[] }) {
  const me = useMe().data;
  const cache = useQueryClient();
  const choose = useMutation({
    mutationFn: ({ of: p, visibility }: { of: Port; visibility: Port["visibility"] }) =>
      ask(api.PUT("/api/v1/workspaces/{owner}/{name}/agents/{agent}/ports/{port}", { params: { path: { owner: w.owner, name: w.name, agent: p.agent, port: p.port } }, body: { visibility } })),
    onSettled: () => void cache.invalidateQueries({ queryKey: ["ports", w.id] }),
  });
  return (
    <>
      <h3>Ports</h3>
      <Failed err={choose.error} />
      {list.length === 0 ? (
        <p className="soft">Nothing listens.</p>
      ) : (
        <ul className="chips">
          {list.map((p) => (
            <li key={p.network + p.port}>
              {p.link && p.listening ? (
                <Out to={p.link}>{p.port}</Out>
              ) : (
                <code>
                  {p.port}
                  {p.network === "udp" ? "/udp" : ""}
                </code>
              )}{" "}
              {p.label || p.process || p.protocol} {!p.listening && <span className="soft">nothing listens</span>}
              {p.listening && p.protocol === "http" && (
                <Link href={`/workspaces/${w.owner}/${w.name}/preview?${new URLSearchParams({ agent: p.agent, port: String(p.port) })}`} aria-label={`Preview port ${p.port}`}>
                  Preview
                </Link>
              )}{" "}
              {p.link && (
                <select
                  aria-label={`Who may open port ${p.port}`}
                  value={p.visibility}
                  disabled={me?.username !== w.owner || choose.isPending}
                  onChange={(e) => choose.mutate({ of: p, visibility: e.target.value as Port["visibility"] })}
                >
                  {visibilities.map(([value, label]) => (
                    <option key={value} value={value}>
                      {label}
                    </option>
                  ))}
                </select>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Scripts({ of: w, agent }: { of: Workspace; agent: Agent }) {
  const [log, setLog] = useState(false);
  const runs = agent.script_runs ?? [];
  if (runs.length === 0) return null;
  return (
    <>
      <h3>Scripts</h3>
      <ul className="plain scripts">
        {runs.map((s) => (
          <li key={s.name}>
            <strong>{s.name}</strong> <Badge tone={scriptTones[s.state]}>{s.state}</Badge> <span className="soft">{said(s)}</span>
          </li>
        ))}
      </ul>
      <Button className="quiet" aria-expanded={log} onClick={() => setLog(!log)}>
        {log ? "Hide what they said" : "Show what they said"}
      </Button>
      {log && <LogView path={`workspaces/${w.owner}/${w.name}/agents/${agent.name}/logs`} waits="They have said nothing yet." />}
    </>
  );
}

function said(s: ScriptStatus): string {
  return [s.run_on, s.service && "service", s.state !== "succeeded" && s.message].filter(Boolean).join(", ");
}

function Sessions({ list }: { list: Connection[] }) {
  return (
    <>
      <h3>Who is there</h3>
      {list.length === 0 ? (
        <p className="soft">Nobody is connected.</p>
      ) : (
        <ul className="plain">
          {list.map((c) => {
            const p = c.by_client ?? c.by_agent;
            return (
              <li key={c.client_node_id}>
                <strong>{c.client}</strong>{" "}
                {p && (
                  <Badge tone={p.path === "direct" ? "good" : p.path === "none" ? "idle" : "warn"}>
                    {p.path}
                    {p.region ? " via " + p.region : ""}
                  </Badge>
                )}{" "}
                {p?.rtt_ms !== undefined && <span className="soft">{p.rtt_ms.toFixed(1)} ms</span>}
                {p?.verdict && (
                  <p className="soft">
                    {p.verdict.evidence} {p.verdict.fix}
                  </p>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </>
  );
}
