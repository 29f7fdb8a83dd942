import { useId, useState, type FormEvent } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { all, api, ask, Problem } from "../api";
import { Link, navigate, useQueryText } from "../router";
import { Command, Empty, Failed, Field, Loaded, Page } from "../ui";
import type { CreatedWorkspace, Parameter, Template } from "../schema";

export default function Create() {
  const [chosen, choose] = useQueryText("template");
  const list = useQuery({
    queryKey: ["templates"],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/templates", { params: { query: { cursor, limit: 500 } } }))),
  });
  return (
    <Page title="New workspace">
      <Loaded of={list} what="templates">
        {(templates) => {
          const usable = templates.filter((t) => t.active_version > 0);
          const one = chosen === "external" ? undefined : (usable.find((t) => idOf(t) === chosen) ?? usable[0]);
          return (
            <div className="stack wide">
              {usable.length === 0 && (
                <Empty title="No templates yet">
                  <p>A template is Terraform that makes workspaces. Push one from a terminal, or make an external workspace below.</p>
                  <Command>adit templates init process && adit templates push process -d process</Command>
                </Empty>
              )}
              <fieldset className="cards">
                <legend>What makes it</legend>
                {usable.map((t) => (
                  <Choice key={t.id} label={idOf(t)} hint={`version ${t.active_version}`} checked={t === one} choose={() => choose(idOf(t))} />
                ))}
                <Choice label="External" hint="You run the agent on a host of your own" checked={!one} choose={() => choose("external")} />
              </fieldset>
              {one ? <FromTemplate key={one.id} template={one} /> : <External />}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function idOf(t: Template): string {
  return t.organization === "default" ? t.name : `${t.organization}/${t.name}`;
}

function Choice({ label, hint, checked, choose }: { label: string; hint: string; checked: boolean; choose: () => void }) {
  return (
    <label className="card">
      <input type="radio" name="template" checked={checked} onChange={choose} />
      <span>
        <strong>{label}</strong>
        <span className="soft">{hint}</span>
      </span>
    </label>
  );
}

const nameHint = "Lower-case letters, digits and hyphens.";

function NameField({ value, set, error }: { value: string; set: (v: string) => void; error?: string }) {
  return <Field label="Name" name="name" required maxLength={32} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" autoComplete="off" autoCapitalize="none" hint={nameHint} error={error} value={value} onChange={(e) => set(e.target.value)} />;
}

function useCreate(done: (w: CreatedWorkspace) => void) {
  const cache = useQueryClient();
  // One key for each page that was filled in: a second click makes nothing twice.
  const [key] = useState(() => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join(""));
  return useMutation({
    mutationFn: (body: { name: string; external?: boolean; template?: string; parameters?: Record<string, string> }) =>
      ask(api.POST("/api/v1/workspaces", { params: { header: { "Idempotency-Key": key + "-" + hash(JSON.stringify(body)) } }, body })),
    onSuccess: (w) => {
      void cache.invalidateQueries({ queryKey: ["workspaces"] });
      done(w);
    },
  });
}

/** hash tells two requests of one page apart: what was changed after an error is asked anew. */
function hash(text: string): string {
  let h = 0;
  for (const c of text) h = (Math.imul(h, 31) + c.codePointAt(0)!) | 0;
  return (h >>> 0).toString(16);
}

function FromTemplate({ template }: { template: Template }) {
  const [name, setName] = useState("");
  const [values, setValues] = useState<Record<string, string>>({});
  const detail = useQuery({
    queryKey: ["template", template.organization, template.name],
    queryFn: () => ask(api.GET("/api/v1/templates/{name}", { params: { path: { name: template.name }, query: { organization: template.organization } } })),
  });
  const create = useCreate((w) => navigate(`/workspaces/${w.owner}/${w.name}?tab=build`));
  const wrong = create.error instanceof Problem ? create.error : undefined;
  const submit = (e: FormEvent) => {
    e.preventDefault();
    create.mutate({ name, template: `${template.organization}/${template.name}`, parameters: values });
  };
  return (
    <Loaded of={detail} what="the template's parameters">
      {(t) => (
        <form className="stack" onSubmit={submit}>
          <NameField value={name} set={setName} error={wrong?.of("name")} />
          {t.active?.parameters?.map((p) => (
            <ParameterField key={p.name} of={p} value={values[p.name] ?? p.default ?? ""} set={(v) => setValues({ ...values, [p.name]: v })} error={wrong?.of("parameters." + p.name)} />
          ))}
          <Failed err={create.error} />
          <div className="actions">
            <button className="main" disabled={create.isPending}>
              Create
            </button>
            <Link className="button" href="/workspaces">
              Cancel
            </Link>
          </div>
        </form>
      )}
    </Loaded>
  );
}

export function ParameterField({ of: p, value, set, error, disabled }: { of: Parameter; value: string; set: (v: string) => void; error?: string; disabled?: boolean }) {
  const id = useId();
  const label = (p.display_name || p.name) + (p.required ? "" : " (optional)");
  const hint = [p.description, !p.mutable && "It cannot be changed later."].filter(Boolean).join(" ");
  const described = hint || error ? id + "d" : undefined;
  const note = (hint || error) && (
    <p id={id + "d"} className={error ? "wrong" : "soft"}>
      {error ?? hint}
    </p>
  );
  if (p.type === "bool") {
    return (
      <div className="field">
        <label className="check">
          <input type="checkbox" checked={value === "true"} disabled={disabled} aria-describedby={described} onChange={(e) => set(String(e.target.checked))} /> {p.display_name || p.name}
        </label>
        {note}
      </div>
    );
  }
  if (p.options && p.options.length > 0) {
    return (
      <div className="field">
        <label htmlFor={id}>{label}</label>
        <select id={id} value={value} required={p.required} disabled={disabled} aria-describedby={described} onChange={(e) => set(e.target.value)}>
          {value === "" && <option value="">Choose…</option>}
          {p.options.map((o) => (
            <option key={o.value} value={o.value}>
              {o.name}
              {o.description ? ` — ${o.description}` : ""}
            </option>
          ))}
        </select>
        {note}
      </div>
    );
  }
  if (p.type === "list(string)") {
    return (
      <div className="field">
        <label htmlFor={id}>{label}, one a line</label>
        <textarea id={id} rows={3} value={lines(value)} required={p.required} disabled={disabled} aria-describedby={described} onChange={(e) => set(JSON.stringify(e.target.value.split("\n")))} />
        {note}
      </div>
    );
  }
  const number = p.type === "number";
  return (
    <Field
      label={label} name={p.name} value={value} disabled={disabled} required={p.required} hint={hint} error={error} autoComplete="off"
      type={number ? "number" : "text"} step={number ? "any" : undefined} min={p.min ?? undefined} max={p.max ?? undefined}
      onChange={(e) => set(e.target.value)}
    />
  );
}

function lines(json: string): string {
  try {
    const list: unknown = JSON.parse(json);
    return Array.isArray(list) ? list.join("\n") : json;
  } catch {
    return json;
  }
}

function External() {
  const [name, setName] = useState("");
  const [made, setMade] = useState<CreatedWorkspace>();
  const create = useCreate(setMade);
  const wrong = create.error instanceof Problem ? create.error : undefined;
  if (made) {
    return (
      <div className="stack" role="status">
        <h2>Run the agent</h2>
        <p>On the workspace's host. The token is shown this once:</p>
        <Command>{made.agent_command ?? `adit agent --url ${location.origin} --token ${made.agent_token ?? ""}`}</Command>
        <Link className="button main" href={`/workspaces/${made.owner}/${made.name}`}>
          To the workspace
        </Link>
      </div>
    );
  }
  return (
    <form
      className="stack"
      onSubmit={(e) => {
        e.preventDefault();
        create.mutate({ name, external: true });
      }}
    >
      <NameField value={name} set={setName} error={wrong?.of("name")} />
      <Failed err={create.error} />
      <button className="main" disabled={create.isPending}>
        Create
      </button>
    </form>
  );
}
