import { useState } from "react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { mayMove, underway } from "../phase";
import { navigate } from "../router";
import { Failed, Field, Loaded } from "../ui";
import { ParameterField } from "./create";
import type { Workspace } from "../schema";

export function Settings({ of: w }: { of: Workspace }) {
  return (
    <div className="stack wide">
      <Renaming of={w} />
      {mayMove(w) && w.latest_build && <Parameters of={w} />}
    </div>
  );
}

function Renaming({ of: w }: { of: Workspace }) {
  const cache = useQueryClient();
  const [name, setName] = useState(w.name);
  const rename = useMutation({
    mutationFn: () => ask(api.PATCH("/api/v1/workspaces/{owner}/{name}", { params: { path: { owner: w.owner, name: w.name } }, body: { name } })),
    onSuccess: (now) => {
      void cache.invalidateQueries({ queryKey: ["workspaces"] });
      navigate(`/workspaces/${now.owner}/${now.name}?tab=settings`, true);
    },
  });
  const wrong = rename.error instanceof Problem ? rename.error.of("name") : undefined;
  return (
    <section>
      <h2>Name</h2>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          rename.mutate();
        }}
      >
        <Field label="Name" required maxLength={32} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" autoComplete="off" hint="Its host names change with it; what is open stays." error={wrong} value={name} onChange={(e) => setName(e.target.value)} />
        {!wrong && <Failed err={rename.error} />}
        <button disabled={rename.isPending || name === w.name}>Rename</button>
      </form>
    </section>
  );
}

function Parameters({ of: w }: { of: Workspace }) {
  const cache = useQueryClient();
  const build = w.latest_build!;
  const [changed, setChanged] = useState<Record<string, string>>({});
  const version = useQuery({
    queryKey: ["version", w.organization, w.template, build.template_version],
    queryFn: () =>
      ask(api.GET("/api/v1/templates/{name}/versions/{number}", { params: { path: { name: w.template!, number: build.template_version }, query: { organization: w.organization } } })),
  });
  const apply = useMutation({
    mutationFn: () =>
      ask(api.POST("/api/v1/workspaces/{owner}/{name}/builds", { params: { path: { owner: w.owner, name: w.name } }, body: { transition: "start", parameters: changed } })),
    onSuccess: () => {
      setChanged({});
      void cache.invalidateQueries({ queryKey: ["workspace", w.owner, w.name] });
      navigate(`/workspaces/${w.owner}/${w.name}?tab=build`);
    },
  });
  return (
    <Loaded of={version} what="the template's parameters">
      {(v) => {
        if (!v.parameters?.length) return null;
        return (
          <section>
            <h2>Parameters</h2>
            <form
              className="stack"
              onSubmit={(e) => {
                e.preventDefault();
                apply.mutate();
              }}
            >
              {v.parameters.map((p) => (
                <ParameterField key={p.name} of={p} disabled={!p.mutable} value={changed[p.name] ?? build.parameters[p.name] ?? ""} set={(value) => setChanged({ ...changed, [p.name]: value })} />
              ))}
              <Failed err={apply.error} />
              <button disabled={apply.isPending || underway(w) || Object.keys(changed).length === 0}>Apply and start</button>
            </form>
          </section>
        );
      }}
    </Loaded>
  );
}
