import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask } from "../api";
import { Button, Confirm, Empty, Failed, Field, Loaded } from "../ui";
import type { Group } from "../schema";

export default function Groups() {
  const cache = useQueryClient();
  const [name, setName] = useState("");
  const list = useQuery({
    queryKey: ["groups"],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/groups", { params: { query: { cursor, limit: 500 } } }))),
  });
  const make = useMutation({
    mutationFn: () => ask(api.POST("/api/v1/groups", { body: { name } })),
    onSuccess: () => (setName(""), void cache.invalidateQueries({ queryKey: ["groups"] })),
  });
  return (
    <>
      <form
        className="inline"
        onSubmit={(e) => {
          e.preventDefault();
          make.mutate();
        }}
      >
        <Field label="Name of a new group" required maxLength={64} autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />
        <button disabled={make.isPending}>Make group</button>
      </form>
      <Failed err={make.error} />
      <Loaded of={list} what="groups">
        {(groups) =>
          groups.length === 0 ? (
            <Empty title="No groups yet">Workspaces can be shared with groups, and quotas set for their members.</Empty>
          ) : (
            <div className="log">
              {groups.map((g) => (
                <One key={g.id} of={g} />
              ))}
            </div>
          )
        }
      </Loaded>
    </>
  );
}

function One({ of: g }: { of: Group }) {
  const cache = useQueryClient();
  const [open, setOpen] = useState(false);
  const [asking, setAsking] = useState(false);
  const [user, setUser] = useState("");
  const path = { organization: g.organization, group: g.name };
  const members = useQuery({
    queryKey: ["members", g.id],
    enabled: open,
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/organizations/{organization}/groups/{group}/members", { params: { path, query: { cursor, limit: 500 } } }))),
  });
  const again = () => {
    void cache.invalidateQueries({ queryKey: ["members", g.id] });
    void cache.invalidateQueries({ queryKey: ["groups"] });
  };
  const add = useMutation({
    mutationFn: () => ask(api.PUT("/api/v1/organizations/{organization}/groups/{group}/members/{user}", { params: { path: { ...path, user } } })),
    onSuccess: () => (setUser(""), again()),
  });
  const drop = useMutation({
    mutationFn: (who: string) => ask(api.DELETE("/api/v1/organizations/{organization}/groups/{group}/members/{user}", { params: { path: { ...path, user: who } } })),
    onSuccess: again,
  });
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/v1/organizations/{organization}/groups/{group}", { params: { path } })),
    onSuccess: () => (setAsking(false), again()),
  });
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <span className="stage">{g.organization === "default" ? g.name : `${g.organization}/${g.name}`}</span>
        <span className="soft">{g.members === 1 ? "1 member" : g.members + " members"}</span>
      </summary>
      <div className="inside">
        {open && (
          <Loaded of={members} what="members" rows={1}>
            {(list) => (
              <ul className="chips">
                {list.map((m) => (
                  <li key={m.username}>
                    {m.username}{" "}
                    {m.managers?.length ? (
                      <span className="soft">by {m.managers.join(", ")}</span>
                    ) : (
                      <Button className="quiet" busy={drop.isPending} aria-label={`Take out ${m.username}`} onClick={() => drop.mutate(m.username)}>
                        Take out
                      </Button>
                    )}
                  </li>
                ))}
              </ul>
            )}
          </Loaded>
        )}
        <form
          className="inline"
          onSubmit={(e) => {
            e.preventDefault();
            add.mutate();
          }}
        >
          <Field label={`Put a user into ${g.name}`} required autoComplete="off" autoCapitalize="none" value={user} onChange={(e) => setUser(e.target.value)} />
          <button disabled={add.isPending}>Put in</button>
          <Button className="quiet" onClick={() => setAsking(true)}>
            Delete the group
          </Button>
        </form>
        <Failed err={add.error ?? drop.error} />
      </div>
      {asking && (
        <Confirm title={`Delete ${g.name}?`} label="Delete" disabled={remove.isPending} err={remove.error} act={() => remove.mutate()} close={() => setAsking(false)}>
          <p>Its members stay; what is shared with the group is shared with them no longer.</p>
        </Confirm>
      )}
    </details>
  );
}
