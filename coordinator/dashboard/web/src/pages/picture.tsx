// A picture of the mesh: people's machines, relays and workspaces, and the ways between.
// What it shows is said in words below it.
import { Badge } from "../ui";
import type { Connection, PathView, Workspace } from "../schema";

export interface Of {
  workspace: Workspace;
  links: Connection[];
}

/** way is what both ends of a link say of it; of two that differ, the worse. */
export function way(l: Connection): PathView | null {
  const bad = (p: PathView) => ["direct", "udp-relay", "derp", "derp-ws", "none"].indexOf(p.path);
  const both = [l.by_client, l.by_agent].filter((p) => p !== null);
  return both.sort((a, b) => bad(b) - bad(a))[0] ?? null;
}

interface Line {
  from: string;
  over?: string;
  to: string;
  tone: "good" | "warn" | "idle";
}

export function Picture({ of, relays }: { of: Of[]; relays: string[] }) {
  const clients = new Map<string, string>();
  const middle = new Set(relays);
  const agents = new Map<string, string>();
  const lines: Line[] = [];
  for (const { workspace: w, links } of of) {
    for (const a of w.agents ?? []) {
      agents.set(a.id, w.agents!.length > 1 ? `${w.owner}/${w.name}, ${a.name}` : `${w.owner}/${w.name}`);
      for (const l of links.filter((l) => l.agent === a.name)) {
        clients.set(l.client_node_id, l.client);
        const path = way(l);
        if (path?.region && path.path !== "direct") middle.add(path.region);
        lines.push({
          from: l.client_node_id, to: a.id, over: path?.path === "direct" ? undefined : path?.region,
          tone: path?.path === "direct" ? "good" : !path || path.path === "none" ? "idle" : "warn",
        });
      }
    }
  }
  if (lines.length === 0) return null;
  const left = [...clients.keys()];
  const over = [...middle];
  const right = [...agents.keys()];
  // Relays are above, so that what goes directly goes by them.
  const below = Math.max(left.length, right.length);
  const rows = over.length + below;
  const y = (list: string[], id: string, from: number, high: number) => ((from + ((list.indexOf(id) + 0.5) / list.length) * high) / rows) * 100;
  return (
    <figure>
      <div className="picture" style={{ height: `${rows * 2.75}rem`, gridTemplateRows: `${over.length}fr ${below}fr` }}>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          {lines.map((l, i) => {
            const [a, b] = [y(left, l.from, over.length, below), y(right, l.to, over.length, below)];
            if (l.over === undefined) return <path key={i} className={l.tone} d={`M30 ${a}C50 ${a} 50 ${b} 70 ${b}`} />;
            const r = y(over, l.over, 0, over.length);
            return <path key={i} className={l.tone} d={`M30 ${a}C36 ${a} 34 ${r} 42 ${r}L58 ${r}C66 ${r} 64 ${b} 70 ${b}`} />;
          })}
        </svg>
        <Column label="Relays" className="over" names={over} />
        <Column label="Machines" className="left" names={left.map((id) => clients.get(id)!)} />
        <Column label="Workspaces" className="right" names={right.map((id) => agents.get(id)!)} />
      </div>
      <figcaption>
        <Badge tone="good">direct</Badge> <Badge tone="warn">over a relay</Badge> <Badge tone="idle">no way known</Badge>
      </figcaption>
    </figure>
  );
}

function Column({ label, className, names }: { label: string; className: string; names: string[] }) {
  return (
    <ul aria-label={label} className={className}>
      {names.map((name, i) => (
        <li key={i} title={name}>
          <span>{name}</span>
        </li>
      ))}
    </ul>
  );
}
