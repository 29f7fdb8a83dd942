import { useState, type FormEvent } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask } from "../api";
import { nextPage } from "../app";
import { useMethods } from "../session";
import { Brand } from "../shell";
import { Failed, Field, Loaded, Page } from "../ui";

export function SignIn() {
  const cache = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const methods = useMethods();
  const enter = useMutation({
    mutationFn: () => ask(api.POST("/api/v1/login", { body: { username, password, cookie: true } })),
    onSuccess: (s) => cache.setQueryData(["me"], s.user), // on which the app leads on to where they wanted to be
  });
  const submit = (e: FormEvent) => {
    e.preventDefault();
    enter.mutate();
  };
  return (
    <main className="alone">
      <Brand />
      <Page title="Sign in">
        <Loaded of={methods} what="how to sign in">
          {(m) => (
            <>
              {m.password && (
                <form onSubmit={submit} className="stack">
                  <Field label="User name" name="username" autoComplete="username" autoCapitalize="none" required autoFocus value={username} onChange={(e) => setUsername(e.target.value)} />
                  <Field label="Password" name="password" type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} />
                  <Failed err={enter.error} />
                  <button className="main" disabled={enter.isPending}>
                    Sign in
                  </button>
                </form>
              )}
              {m.providers && m.providers.length > 0 && (
                <div className="stack ways">
                  {m.providers.map((p) => (
                    <a className="button" key={p.name} href={`${p.path}?next=${encodeURIComponent(nextPage())}`}>
                      Sign in with {p.title}
                    </a>
                  ))}
                </div>
              )}
            </>
          )}
        </Loaded>
      </Page>
    </main>
  );
}
