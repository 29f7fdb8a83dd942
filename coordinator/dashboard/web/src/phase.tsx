// How a workspace is doing, in a word and a colour.
import { Badge } from "./ui";
import type { Workspace } from "./schema";

const tones = {
  pending: "busy", starting: "busy", running: "good", stopping: "busy", stopped: "idle", deleting: "busy", deleted: "idle", failed: "bad",
} as const;

export function PhaseBadge({ of: w }: { of: Workspace }) {
  const away = w.phase === "running" ? w.conditions?.find((c) => c.status === "false" && c.type !== "up-to-date") : undefined;
  if (away) return <span title={away.message}><Badge tone="warn">{away.type === "agents-connected" ? "agent away" : away.type === "scripts-ready" ? "preparing" : "unwell"}</Badge></span>;
  return <Badge tone={tones[w.phase]}>{w.phase}</Badge>;
}

/** underway reports whether a build of a workspace waits or runs. */
export function underway(w: Workspace): boolean {
  const s = w.latest_build?.job.status;
  return s === "queued" || s === "running";
}

export function mayMove(w: Workspace): boolean {
  return !w.external && (!w.shared || w.shared === "admin");
}
