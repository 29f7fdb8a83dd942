import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { useMe } from "../session";
import { Table } from "../table";
import { Badge, Button, Confirm, Failed, Field, When } from "../ui";
import type { ChangeUser, CreateUser, User } from "../schema";

const roles = ["member", "template-admin", "user-admin", "auditor", "owner"] as const;
type Role = (typeof roles)[number];

export default function Users() {
  const me = useMe().data;
  const cache = useQueryClient();
  const [q, setQ] = useState("");
  const [leaving, setLeaving] = useState<User>();
  const again = () => void cache.invalidateQueries({ queryKey: ["users"] });
  const change = useMutation({
    mutationFn: ({ user, to }: { user: string; to: ChangeUser }) => ask(api.PATCH("/api/v1/users/{user}", { params: { path: { user } }, body: to })),
    onSettled: again,
  });
  const remove = useMutation({
    mutationFn: (user: string) => ask(api.DELETE("/api/v1/users/{user}", { params: { path: { user } } })),
    onSuccess: () => (setLeaving(undefined), again()),
  });
  const may = me?.role === "owner" || me?.role === "user-admin";
  return (
    <>
      {may && <NewUser done={again} />}
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <input type="search" aria-label="Search users" placeholder="Search by name" value={q} onChange={(e) => setQ(e.target.value)} />
      </form>
      <Failed err={change.error} />
      <Table
        what="users"
        queryKey={["users", q]}
        page={(cursor) => ask(api.GET("/api/v1/users", { params: { query: { cursor, limit: 100, q: q.trim() || undefined } } }))}
        id={(u: User) => u.id}
        none={<p className="soft">None like that.</p>}
        columns={[
          ["Name", (u) => <strong>{u.username}</strong>],
          ["Address", (u) => u.email],
          [
            "Role",
            (u) =>
              may && u.id !== me?.id ? (
                <select aria-label={`Role of ${u.username}`} value={u.role} onChange={(e) => change.mutate({ user: u.username, to: { role: e.target.value as Role } })}>
                  {roles.map((r) => (
                    <option key={r}>{r}</option>
                  ))}
                </select>
              ) : (
                u.role
              ),
          ],
          ["Since", (u) => <When at={u.created_at} />],
          ["State", (u) => <Badge tone={u.suspended_at ? "bad" : "good"}>{u.suspended_at ? "kept out" : "active"}</Badge>],
          [
            "",
            (u) =>
              may && u.id !== me?.id && (
                <>
                  <Button className="quiet" aria-label={`${u.suspended_at ? "Let in" : "Keep out"} ${u.username}`} onClick={() => change.mutate({ user: u.username, to: { suspended: !u.suspended_at } })}>
                    {u.suspended_at ? "Let in" : "Keep out"}
                  </Button>
                  <Button className="quiet" aria-label={`Delete ${u.username}`} onClick={() => setLeaving(u)}>
                    Delete
                  </Button>
                </>
              ),
          ],
        ]}
      />
      {leaving && (
        <Confirm title={`Delete ${leaving.username}?`} label="Delete" disabled={remove.isPending} err={remove.error} act={() => remove.mutate(leaving.username)} close={() => setLeaving(undefined)}>
          <p>Their tokens and external workspaces go with them. Workspaces from templates have to be deleted or given away before.</p>
        </Confirm>
      )}
    </>
  );
}

function NewUser({ done }: { done: () => void }) {
  const fresh: CreateUser = { username: "", email: "", password: "", role: "member" };
  const [form, setForm] = useState(fresh);
  const make = useMutation({
    mutationFn: () => ask(api.POST("/api/v1/users", { body: { ...form, password: form.password || undefined } })),
    onSuccess: () => (setForm(fresh), done()),
  });
  const wrong = make.error instanceof Problem ? make.error : undefined;
  return (
    <section>
      <form
        className="inline"
        onSubmit={(e) => {
          e.preventDefault();
          make.mutate();
        }}
      >
        <Field label="New user's name" required maxLength={32} autoComplete="off" autoCapitalize="none" error={wrong?.of("username")} value={form.username} onChange={(e) => setForm({ ...form, username: e.target.value })} />
        <Field label="E-mail address" type="email" required autoComplete="off" error={wrong?.of("email")} value={form.email} onChange={(e) => setForm({ ...form, email: e.target.value })} />
        <Field label="Password, if any" type="password" autoComplete="new-password" error={wrong?.of("password")} value={form.password} onChange={(e) => setForm({ ...form, password: e.target.value })} />
        <button disabled={make.isPending}>Make user</button>
      </form>
      <Failed err={make.error} />
    </section>
  );
}
