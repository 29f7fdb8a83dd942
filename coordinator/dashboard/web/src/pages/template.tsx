import { useQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { LogView } from "../log";
import { Link, useQueryText } from "../router";
import { Badge, Button, Empty, Failed, Loaded, Page, When } from "../ui";
import { jobTones, JobTrouble } from "./builds";
import { Files } from "./files";
import type { TemplateVersion } from "../schema";

export interface TemplateName {
  organization: string;
  name: string;
}

export default function TemplatePage(of: TemplateName) {
  const [chosen, choose] = useQueryText("version");
  const query = { organization: of.organization };
  const list = useQuery({
    queryKey: ["versions", of.organization, of.name],
    queryFn: () => ask(api.GET("/api/v1/templates/{name}/versions", { params: { path: { name: of.name }, query: { ...query, limit: 100 } } })),
    refetchInterval: (q) => (q.state.data?.items?.some((v) => !v.job.finished_at) ? 1000 : false), // imports are seconds
  });
  if (list.error instanceof Problem && list.error.status === 404) {
    return (
      <Page title={of.name}>
        <Empty title="There is no such template">
          <Link className="button" href="/templates">
            Templates
          </Link>
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title={of.name}
      heading={
        <>
          <span className="soft">{of.organization}/</span>
          {of.name}
        </>
      }
      actions={
        <Link className="button main" href={`/new?template=${encodeURIComponent(of.organization === "default" ? of.name : of.organization + "/" + of.name)}`}>
          New workspace
        </Link>
      }
    >
      <Loaded of={list} what="versions">
        {(l) => {
          const versions = l.items ?? [];
          const v = versions.find((x) => String(x.number) === chosen) ?? versions.find((x) => x.active) ?? versions[0];
          if (!v) return <Empty title="It has no versions" />;
          return (
            <div className="split">
              <ol className="side" aria-label="Versions">
                {versions.map((x) => (
                  <li key={x.id}>
                    <button className="quiet" aria-pressed={x === v} onClick={() => choose(String(x.number))}>
                      <span>
                        v{x.number} <span className="soft">{x.message || x.created_by}</span>
                      </span>
                      {x.active ? <Badge tone="good">active</Badge> : x.job.status !== "succeeded" && <Badge tone={jobTones[x.job.status]}>{x.job.status}</Badge>}
                    </button>
                  </li>
                ))}
              </ol>
              <Version key={v.id} template={of} of={v} before={versions.find((x) => x.number < v.number && x.job.status === "succeeded")} />
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

const parts = [
  ["", "Files"],
  ["parameters", "Parameters"],
  ["import", "Import"],
] as const;

function Version({ template, of: v, before }: { template: TemplateName; of: TemplateVersion; before?: TemplateVersion }) {
  const cache = useQueryClient();
  const [part, show] = useQueryText("part");
  const activate = useMutation({
    mutationFn: () =>
      ask(api.POST("/api/v1/templates/{name}/versions/{number}/activate", { params: { path: { name: template.name, number: v.number }, query: { organization: template.organization } } })),
    onSuccess: () => {
      void cache.invalidateQueries({ queryKey: ["versions", template.organization, template.name] });
      void cache.invalidateQueries({ queryKey: ["templates"] });
    },
  });
  return (
    <div className="stack wide">
      <h2>
        Version {v.number} {v.message && <span className="soft">{v.message}</span>}
      </h2>
      <p className="soft facts-line">
        <span>by {v.created_by}</span>
        <When at={v.created_at} />
        {v.required_version && <span>Terraform {v.required_version}</span>}
      </p>
      <JobTrouble of={v.job} />
      <div className="actions">
        {parts.map(([id, label]) => (
          <Button key={id} className="quiet" aria-pressed={part === id} onClick={() => show(id)}>
            {label}
          </Button>
        ))}
        {!v.active && v.job.status === "succeeded" && (
          <Button busy={activate.isPending} onClick={() => activate.mutate()}>
            Make it active
          </Button>
        )}
      </div>
      <Failed err={activate.error} />
      {part === "" && <Files template={template} number={v.number} before={before?.number} />}
      {part === "parameters" && <Parameters of={v} />}
      {part === "import" && <LogView path={`templates/${template.name}/versions/${v.number}/logs?organization=${encodeURIComponent(template.organization)}`} waits="It waits for a provisioner." />}
    </div>
  );
}

function Parameters({ of: v }: { of: TemplateVersion }) {
  if (!v.parameters?.length) return <p className="soft">It asks nothing of whoever makes a workspace.</p>;
  return (
    <dl className="facts">
      {v.parameters.map((p) => (
        <div key={p.name}>
          <dt>
            <code>{p.name}</code>
          </dt>
          <dd>
            {p.type}
            {p.default ? `, ${p.default} unless set` : p.required ? ", required" : ""}
            {!p.mutable && ", set once"}
            {p.description && <p className="soft">{p.description}</p>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
