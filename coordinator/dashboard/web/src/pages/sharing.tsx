import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask } from "../api";
import { Button, Failed, Field, Loaded, When } from "../ui";
import type { Share, Workspace } from "../schema";

const levels: [Share["level"], string][] = [
  ["apps", "See it, and open its apps"],
  ["connect", "Reach it, too: SSH, ports, VPN"],
  ["admin", "Start, stop and change it, too"],
];

/** Sharing is whom a workspace is shared with. */
export function Sharing({ of: w }: { of: Workspace }) {
  const cache = useQueryClient();
  const path = { owner: w.owner, name: w.name };
  const [who, setWho] = useState("");
  const [group, setGroup] = useState(false);
  const [level, setLevel] = useState<Share["level"]>("connect");
  const list = useQuery({
    queryKey: ["shares", w.id],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/workspaces/{owner}/{name}/shares", { params: { path, query: { cursor, limit: 500 } } }))),
  });
  const again = () => void cache.invalidateQueries({ queryKey: ["shares", w.id] });
  const share = useMutation({
    mutationFn: () =>
      group
        ? ask(api.PUT("/api/v1/workspaces/{owner}/{name}/shares/groups/{group}", { params: { path: { ...path, group: who } }, body: { level } }))
        : ask(api.PUT("/api/v1/workspaces/{owner}/{name}/shares/users/{user}", { params: { path: { ...path, user: who } }, body: { level } })),
    onSuccess: () => (setWho(""), again()),
  });
  const end = useMutation({
    mutationFn: (s: Share) =>
      s.group
        ? ask(api.DELETE("/api/v1/workspaces/{owner}/{name}/shares/groups/{group}", { params: { path: { ...path, group: s.group } } }))
        : ask(api.DELETE("/api/v1/workspaces/{owner}/{name}/shares/users/{user}", { params: { path: { ...path, user: s.user! } } })),
    onSuccess: again,
  });
  return (
    <section>
      <h2>Shared with</h2>
      <Loaded of={list} what="whom it is shared with" rows={2}>
        {(shares) =>
          shares.length === 0 ? (
            <p className="soft">Nobody but you.</p>
          ) : (
            <ul className="rows">
              {shares.map((s) => (
                <li key={(s.user ?? "") + "/" + (s.group ?? "")}>
                  <div className="what">
                    <strong>{s.user || s.group}</strong>
                    <span className="soft">{s.group ? "group" : "user"}</span>
                  </div>
                  <span>{levels.find(([l]) => l === s.level)?.[1]}</span>
                  <span className="soft when">
                    since <When at={s.since} />
                  </span>
                  <div className="actions">
                    <Button className="quiet" busy={end.isPending} aria-label={`Stop sharing with ${s.user || s.group}`} onClick={() => end.mutate(s)}>
                      Stop sharing
                    </Button>
                  </div>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      <Failed err={end.error} />
      <form
        className="inline"
        onSubmit={(e) => {
          e.preventDefault();
          share.mutate();
        }}
      >
        <div className="field">
          <label htmlFor="kind">Share with a</label>
          <select id="kind" value={group ? "group" : "user"} onChange={(e) => setGroup(e.target.value === "group")}>
            <option value="user">user</option>
            <option value="group">group</option>
          </select>
        </div>
        <Field label={group ? "Name of the group" : "User name"} required autoComplete="off" autoCapitalize="none" value={who} onChange={(e) => setWho(e.target.value)} />
        <div className="field">
          <label htmlFor="level">They may</label>
          <select id="level" value={level} onChange={(e) => setLevel(e.target.value as Share["level"])}>
            {levels.map(([l, label]) => (
              <option key={l} value={l}>
                {label}
              </option>
            ))}
          </select>
        </div>
        <button disabled={share.isPending}>Share</button>
      </form>
      <Failed err={share.error} />
    </section>
  );
}
