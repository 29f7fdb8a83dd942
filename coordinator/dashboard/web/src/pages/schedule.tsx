import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { Button, Failed, Field, When } from "../ui";
import type { Workspace } from "../schema";

/** ScheduleTab is when a workspace starts and stops without anybody asking. */
export function ScheduleTab({ of: w }: { of: Workspace }) {
  const cache = useQueryClient();
  const s = w.schedule;
  const path = { owner: w.owner, name: w.name };
  const [autostart, setAutostart] = useState(s?.autostart ?? "");
  const [hours, setHours] = useState(s?.ttl_seconds ? String(s.ttl_seconds / 3600) : "");
  const done = (now: Workspace) => cache.setQueryData(["workspace", w.owner, w.name], (was?: Workspace) => was && { ...was, schedule: now.schedule, warnings: now.warnings });
  const set = useMutation({
    mutationFn: () =>
      ask(api.PATCH("/api/v1/workspaces/{owner}/{name}/schedule", { params: { path }, body: { autostart, ttl_seconds: hours === "" ? 0 : Math.round(Number(hours) * 3600) } })),
    onSuccess: done,
  });
  const extend = useMutation({
    mutationFn: () => ask(api.POST("/api/v1/workspaces/{owner}/{name}/extend", { params: { path }, body: { seconds: 4 * 3600 } })),
    onSuccess: done,
  });
  const wake = useMutation({ mutationFn: () => ask(api.POST("/api/v1/workspaces/{owner}/{name}/wake", { params: { path } })), onSuccess: done });
  const wrong = set.error instanceof Problem ? set.error : undefined;
  return (
    <div className="stack wide">
      <section>
        <h2>What comes</h2>
        <dl className="facts">
          <dt>Starts</dt>
          <dd>
            <When at={s?.starts_at} never="not by itself" />
          </dd>
          <dt>Stops</dt>
          <dd>
            <When at={s?.stops_at} never="not by itself" />
          </dd>
          {s?.dormant_at && (
            <>
              <dt>{s.dormant ? "Dormant since" : "Dormant, unless used"}</dt>
              <dd>
                <When at={s.dormant_at} />
              </dd>
            </>
          )}
          {s?.deletes_at && (
            <>
              <dt>Deleted, unless woken</dt>
              <dd>
                <When at={s.deletes_at} />
              </dd>
            </>
          )}
        </dl>
        <div className="actions">
          {w.phase === "running" && s?.stops_at && (
            <Button busy={extend.isPending} onClick={() => extend.mutate()}>
              Run four hours from now
            </Button>
          )}
          {s?.dormant && (
            <Button busy={wake.isPending} onClick={() => wake.mutate()}>
              Wake it
            </Button>
          )}
        </div>
        <Failed err={extend.error ?? wake.error} />
      </section>
      <section>
        <h2>Change it</h2>
        <form
          className="stack"
          onSubmit={(e) => {
            e.preventDefault();
            set.mutate();
          }}
        >
          <Field label="Starts by itself" placeholder="mon-fri 08:30 Europe/Berlin" hint="Days, a time and a time zone. Empty is never." autoComplete="off" error={wrong?.of("autostart")} value={autostart} onChange={(e) => setAutostart(e.target.value)} />
          <Field label="Runs for how many hours" type="number" min={0} step="any" hint="After its start, unless it is used. Empty is for ever." error={wrong?.of("ttl_seconds")} value={hours} onChange={(e) => setHours(e.target.value)} />
          <Failed err={set.error} />
          {set.isSuccess && <p role="status">The schedule is set.</p>}
          <button disabled={set.isPending}>Set the schedule</button>
        </form>
      </section>
    </div>
  );
}
