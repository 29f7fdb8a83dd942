import { useState, type FormEvent } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { navigate } from "../router";
import { Brand } from "../shell";
import { Failed, Field, Page } from "../ui";

/** Setup makes the first user, who owns the deployment. */
export function Setup() {
  const cache = useQueryClient();
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const make = useMutation({
    mutationFn: async () => {
      await ask(api.POST("/api/v1/users/first", { body: { username, email, password } }));
      return ask(api.POST("/api/v1/login", { body: { username, password, cookie: true } }));
    },
    onSuccess: async (s) => {
      await cache.invalidateQueries({ queryKey: ["buildinfo"] });
      cache.setQueryData(["me"], s.user);
      navigate("/workspaces", true);
    },
  });
  const wrong = make.error instanceof Problem ? make.error : undefined;
  const known = ["username", "email", "password"].some((f) => wrong?.of(f));
  const submit = (e: FormEvent) => {
    e.preventDefault();
    make.mutate();
  };
  return (
    <main className="alone">
      <Brand />
      <Page title="Welcome">
        <p>This deployment is new. Make its first user, who may do everything; others come later.</p>
        <form onSubmit={submit} className="stack">
          <Field label="User name" name="username" autoComplete="username" autoCapitalize="none" required autoFocus maxLength={32} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" hint="Lower-case letters, digits and hyphens: it is a part of your workspaces' host names." error={wrong?.of("username")} value={username} onChange={(e) => setUsername(e.target.value)} />
          <Field label="E-mail address" name="email" type="email" autoComplete="email" required error={wrong?.of("email")} value={email} onChange={(e) => setEmail(e.target.value)} />
          <Field label="Password" name="password" type="password" autoComplete="new-password" required minLength={8} hint="At least 8 characters." error={wrong?.of("password")} value={password} onChange={(e) => setPassword(e.target.value)} />
          {!known && <Failed err={make.error} />}
          <button className="main" disabled={make.isPending}>
            Begin
          </button>
        </form>
      </Page>
    </main>
  );
}
