import { useState, type FormEvent } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { useMe, useMethods } from "../session";
import { Table } from "../table";
import { Badge, Button, Confirm, Copied, Failed, Field, Page, When } from "../ui";
import type { Token } from "../schema";

export default function Account() {
  const me = useMe().data;
  const methods = useMethods();
  return (
    <Page title="Account">
      <dl className="facts">
        <dt>User name</dt>
        <dd>{me?.username}</dd>
        <dt>E-mail address</dt>
        <dd>{me?.email}</dd>
        <dt>Role</dt>
        <dd>{me?.role}</dd>
      </dl>
      {methods.data?.providers && methods.data.providers.length > 0 && (
        <section>
          <h2>Other ways to sign in</h2>
          {methods.data.providers.map((p) =>
            p.linked ? (
              <p key={p.name}>
                <Badge tone="good">{p.title} is linked to this account</Badge>
              </p>
            ) : (
              <form key={p.name} method="post" action={"/signin/link/" + p.name}>
                <button>Link {p.title} to this account</button>
              </form>
            ),
          )}
        </section>
      )}
      <Password />
      <Tokens />
    </Page>
  );
}

const lifetimes: [string, number][] = [
  ["30 days", 30],
  ["90 days", 90],
  ["A year", 365],
  ["As long as may be", 0],
];

function Tokens() {
  const cache = useQueryClient();
  const [name, setName] = useState("");
  const [days, setDays] = useState(30);
  const [ending, setEnding] = useState<Token>();
  const again = () => void cache.invalidateQueries({ queryKey: ["tokens"] });
  const make = useMutation({
    mutationFn: () => ask(api.POST("/api/v1/tokens", { body: { name, lifetime_seconds: days * 86400 || undefined } })),
    onSuccess: () => (setName(""), again()),
  });
  const end = useMutation({
    mutationFn: (id: string) => ask(api.DELETE("/api/v1/tokens/{id}", { params: { path: { id } } })),
    onSuccess: () => (setEnding(undefined), again()),
  });
  return (
    <section>
      <h2>Tokens and sessions</h2>
      <p className="soft">A token lets a program act as you. Sessions of browsers and command lines are listed with them.</p>
      <form
        className="inline"
        onSubmit={(e: FormEvent) => {
          e.preventDefault();
          make.mutate();
        }}
      >
        <Field label="Name of a new token" required maxLength={64} autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />
        <div className="field">
          <label htmlFor="lasts">It lasts</label>
          <select id="lasts" value={days} onChange={(e) => setDays(Number(e.target.value))}>
            {lifetimes.map(([label, n]) => (
              <option key={n} value={n}>
                {label}
              </option>
            ))}
          </select>
        </div>
        <button disabled={make.isPending}>Make token</button>
      </form>
      <Failed err={make.error} />
      {make.data && (
        <div className="note" role="status">
          <p>This is the token. It is shown this once:</p>
          <div className="command">
            <code tabIndex={0} role="group" aria-label="Token">{make.data.token}</code>
            <Copied text={make.data.token} />
          </div>
        </div>
      )}
      <Table
        what="tokens"
        queryKey={["tokens"]}
        page={(cursor) => ask(api.GET("/api/v1/tokens", { params: { query: { cursor, limit: 100 } } }))}
        id={(t: Token) => t.id}
        none={<p className="soft">None.</p>}
        columns={[
          ["Name", (t) => t.name],
          ["Kind", (t) => (t.kind === "login" ? "command line" : t.kind)],
          ["Last used", (t) => <When at={t.last_used_at} />],
          ["Expires", (t) => <When at={t.expires_at} />],
          [
            "",
            (t) => (
              <Button className="quiet" aria-label={`End ${t.name}`} onClick={() => setEnding(t)}>
                End
              </Button>
            ),
          ],
        ]}
      />
      {ending && (
        <Confirm title={`End ${ending.name}?`} label="End it" disabled={end.isPending} err={end.error} act={() => end.mutate(ending.id)} close={() => setEnding(undefined)}>
          <p>Whatever uses it is cut off at once. If it is this browser's session, you are signed out.</p>
        </Confirm>
      )}
    </section>
  );
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useMutation({
    mutationFn: () => ask(api.PUT("/api/v1/users/{user}/password", { params: { path: { user: "me" } }, body: { old_password: current, password: next } })),
    onSuccess: () => (setCurrent(""), setNext("")),
  });
  const wrong = change.error instanceof Problem ? change.error : undefined;
  return (
    <section>
      <h2>Password</h2>
      <form
        className="stack"
        onSubmit={(e: FormEvent) => {
          e.preventDefault();
          change.mutate();
        }}
      >
        <Field label="Present password" type="password" autoComplete="current-password" required value={current} onChange={(e) => setCurrent(e.target.value)} />
        <Field label="New password" type="password" autoComplete="new-password" required minLength={8} hint="At least 8 characters. What else you have open ends." error={wrong?.of("password")} value={next} onChange={(e) => setNext(e.target.value)} />
        <Failed err={change.error} />
        {change.isSuccess && <p role="status">The password is changed.</p>}
        <button disabled={change.isPending}>Change password</button>
      </form>
    </section>
  );
}
