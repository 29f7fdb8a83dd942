import { useState, type FormEvent } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask, Problem } from "../api";
import { useMe, useMethods } from "../session";
import { Button, Confirm, Copied, Failed, Field, Loaded, Page, When } from "../ui";
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
          {methods.data.providers.map((p) => (
            <form key={p.name} method="post" action={"/signin/link/" + p.name}>
              <button>Link {p.title} to this account</button>
            </form>
          ))}
        </section>
      )}
      <Tokens />
      <Password />
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
  const list = useQuery({
    queryKey: ["tokens"],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/tokens", { params: { query: { cursor, limit: 500 } } }))),
  });
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
      <Loaded of={list} what="tokens">
        {(tokens) => (
          <div className="scroll" tabIndex={0} role="region" aria-label="Tokens">
            <table>
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Kind</th>
                  <th scope="col">Last used</th>
                  <th scope="col">Expires</th>
                  <th scope="col">
                    <span className="unseen">What can be done</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {tokens.map((t) => (
                  <tr key={t.id}>
                    <td>{t.name}</td>
                    <td>{t.kind === "login" ? "command line" : t.kind}</td>
                    <td>
                      <When at={t.last_used_at} />
                    </td>
                    <td>
                      <When at={t.expires_at} />
                    </td>
                    <td>
                      <Button className="quiet" aria-label={`End ${t.name}`} onClick={() => setEnding(t)}>
                        End
                      </Button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
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
