import { useDeferredValue } from "react";
import { api, ask } from "../api";
import { useQueryText } from "../router";
import { Table } from "../table";
import { Badge, When } from "../ui";
import type { AuditEntry } from "../schema";

export default function Audit() {
  const [actor, setActor] = useQueryText("actor");
  const [action, setAction] = useQueryText("action");
  const [object, setObject] = useQueryText("object");
  const [outcome, setOutcome] = useQueryText("outcome");
  const q = useDeferredValue({ actor: actor || undefined, action: action || undefined, object: object || undefined, outcome: outcome === "done" || outcome === "refused" ? (outcome as "done" | "refused") : undefined });
  return (
    <>
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <input aria-label="Who" placeholder="Who" value={actor} onChange={(e) => setActor(e.target.value)} />
        <input aria-label="Did what" placeholder="Did what: workspace, user, …" value={action} onChange={(e) => setAction(e.target.value)} />
        <input aria-label="To what" placeholder="To what" value={object} onChange={(e) => setObject(e.target.value)} />
        <select aria-label="Outcome" value={outcome} onChange={(e) => setOutcome(e.target.value)}>
          <option value="">Done or refused</option>
          <option>done</option>
          <option>refused</option>
        </select>
      </form>
      <Table
        what="audit log"
        queryKey={["audit", q]}
        page={(cursor) => ask(api.GET("/api/v1/audit", { params: { query: { ...q, cursor, limit: 50 } } }))}
        id={(e: AuditEntry) => String(e.id)}
        none={<p className="soft">Nothing like that was done.</p>}
        columns={[
          ["When", (e) => <When at={e.at} />],
          [
            "Who",
            (e) => (
              <>
                <strong>{e.actor.name || e.actor.kind}</strong> <span className="soft">{e.actor.remote}</span>
              </>
            ),
          ],
          ["Did what", (e) => <code>{e.action}</code>],
          ["To what", (e) => e.object_name || e.object_id],
          ["Outcome", (e) => <Badge tone={e.outcome === "refused" ? "bad" : "good"}>{e.outcome}</Badge>],
          ["What changed", (e) => <Changed of={e} />],
        ]}
      />
    </>
  );
}

/** Changed is what was before and is after, where the two differ. */
function Changed({ of: e }: { of: AuditEntry }) {
  const before = (e.before ?? {}) as Record<string, unknown>;
  const after = (e.after ?? {}) as Record<string, unknown>;
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((k) => JSON.stringify(before[k]) !== JSON.stringify(after[k]));
  if (keys.length === 0) return null;
  return (
    <details className="changed">
      <summary>{keys.length === 1 ? "1 value" : keys.length + " values"}</summary>
      <dl className="facts">
        {keys.map((k) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>
              <code>{text(before[k])}</code> → <code>{text(after[k])}</code>
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function text(v: unknown): string {
  return v === undefined || v === null ? "–" : typeof v === "string" ? v : JSON.stringify(v);
}
