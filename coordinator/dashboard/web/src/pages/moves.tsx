// Start, stop and delete: what can be done with a workspace as it is now.
import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask } from "../api";
import { mayMove, underway } from "../phase";
import { Button, Confirm, Failed } from "../ui";
import type { Workspace } from "../schema";

type Transition = "start" | "stop" | "delete";

export function Moves({ of: w, deleted }: { of: Workspace; deleted?: () => void }) {
  const cache = useQueryClient();
  const [asking, setAsking] = useState(false);
  const path = { owner: w.owner, name: w.name };
  const again = () => {
    void cache.invalidateQueries({ queryKey: ["workspaces"] });
    void cache.invalidateQueries({ queryKey: ["workspace", w.owner, w.name] });
  };
  const move = useMutation({
    mutationFn: ({ to, version }: { to: Transition; version?: number }) =>
      ask(api.POST("/api/v1/workspaces/{owner}/{name}/builds", { params: { path }, body: { transition: to, version } })),
    onSuccess: again,
  });
  const cancel = useMutation({
    mutationFn: () =>
      ask(api.POST("/api/v1/workspaces/{owner}/{name}/builds/{number}/cancel", { params: { path: { ...path, number: w.latest_build!.number } }, body: { force: w.latest_build!.job.canceling } })),
    onSettled: again,
  });
  const remove = useMutation({
    mutationFn: async () => {
      if (w.external) return void (await ask(api.DELETE("/api/v1/workspaces/{owner}/{name}", { params: { path } })));
      await ask(api.POST("/api/v1/workspaces/{owner}/{name}/builds", { params: { path }, body: { transition: "delete" } }));
    },
    onSuccess: () => {
      setAsking(false);
      again();
      if (w.external) deleted?.();
    },
  });
  const err = move.error ?? cancel.error;
  const busy = move.isPending || cancel.isPending || underway(w);
  return (
    <>
      {err && <Failed err={err} />}
      {mayMove(w) && underway(w) && w.phase !== "deleting" && (
        <Button busy={cancel.isPending} aria-label={`Cancel the build of ${w.name}`} onClick={() => cancel.mutate()}>
          {w.latest_build?.job.canceling ? "Kill" : "Cancel"}
        </Button>
      )}
      {mayMove(w) && !underway(w) && (w.phase === "stopped" || w.phase === "failed") && (
        <Button busy={move.isPending} aria-label={`Start ${w.name}`} onClick={() => move.mutate({ to: "start" })}>
          Start
        </Button>
      )}
      {mayMove(w) && !underway(w) && (w.phase === "running" || w.phase === "failed") && (
        <Button busy={move.isPending} aria-label={`Stop ${w.name}`} onClick={() => move.mutate({ to: "stop" })}>
          Stop
        </Button>
      )}
      {mayMove(w) && !underway(w) && w.outdated && deleted && (
        <Button busy={move.isPending} onClick={() => move.mutate({ to: "start", version: -1 })}>
          Update
        </Button>
      )}
      {!w.shared && (
        <Button className="quiet" disabled={busy} aria-label={`Delete ${w.name}`} onClick={() => setAsking(true)}>
          Delete
        </Button>
      )}
      {asking && (
        <Confirm title={`Delete ${w.name}?`} label="Delete" disabled={remove.isPending} err={remove.error} act={() => remove.mutate()} close={() => setAsking(false)}>
          <p>{w.external ? "Its agent loses its place in the mesh; the host stays." : "All that it keeps goes, also what stays when it is stopped. This cannot be undone."}</p>
        </Confirm>
      )}
    </>
  );
}
