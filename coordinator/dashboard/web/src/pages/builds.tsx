import { useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { api, ask } from "../api";
import { LogView } from "../log";
import { Badge, duration, Loaded, When } from "../ui";
import type { Build, Job, Workspace } from "../schema";

export const jobTones = { queued: "busy", running: "busy", succeeded: "good", failed: "bad", canceled: "idle" } as const;
const verbs = { start: "Start", stop: "Stop", delete: "Delete" } as const;

/** Builds are those of a workspace, with the log of one: the newest, unless another is chosen. */
export function Builds({ of: w }: { of: Workspace }) {
  const [chosen, choose] = useState<number>();
  const path = { owner: w.owner, name: w.name };
  const list = useQuery({
    queryKey: ["builds", w.id],
    queryFn: () => ask(api.GET("/api/v1/workspaces/{owner}/{name}/builds", { params: { path, query: { limit: 50 } } })),
  });
  return (
    <Loaded of={list} what="builds">
      {(l) => {
        const builds = l.items ?? [];
        const newest = w.latest_build;
        const b = builds.find((x) => x.number === chosen) ?? (newest && builds.find((x) => x.number === newest.number)) ?? builds[0];
        if (!b) return <p className="soft">It has no builds.</p>;
        const job = newest?.number === b.number ? newest.job : b.job;
        return (
          <div className="split">
            <ol className="side" aria-label="Builds">
              {builds.map((x) => (
                <li key={x.id}>
                  <button className="quiet" aria-pressed={x.number === b.number} onClick={() => choose(x.number)}>
                    <span>
                      #{x.number} {verbs[x.transition]}
                    </span>
                    <Badge tone={jobTones[statusOf(x, newest)]}>{statusOf(x, newest)}</Badge>
                  </button>
                </li>
              ))}
            </ol>
            <div className="stack wide">
              <h2 className="unseen">Build {b.number}</h2>
              <p className="soft facts-line">
                <span>
                  {verbs[b.transition]} by {b.initiator}
                </span>
                <span>
                  <When at={job.created_at} />
                </span>
                {job.started_at && <span>took {duration(job.started_at, job.finished_at)}</span>}
                {b.reason && <span>{b.reason}</span>}
              </p>
              <JobTrouble of={job} />
              <LogView key={b.id} path={`workspaces/${w.owner}/${w.name}/builds/${b.number}/logs`} waits="It waits for a provisioner." />
            </div>
          </div>
        );
      }}
    </Loaded>
  );
}

function statusOf(b: Build, newest: Build | undefined): Job["status"] {
  return newest?.number === b.number ? newest.job.status : b.job.status;
}

/** JobTrouble is why a job did not succeed, and what its files have to do with it. */
export function JobTrouble({ of: job }: { of: Job }) {
  if (!job.error && !job.problems?.length) return null;
  return (
    <div className={job.error ? "trouble" : "note"} role={job.error ? "alert" : undefined}>
      <div>
        {job.error && <strong>{job.error}</strong>}
        <ul className="plain">
          {job.problems?.map((p, i) => (
            <li key={i}>
              {p.file && (
                <code>
                  {p.file}:{p.line}
                </code>
              )}{" "}
              {p.summary}
              {p.detail ? ": " + p.detail : ""}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
