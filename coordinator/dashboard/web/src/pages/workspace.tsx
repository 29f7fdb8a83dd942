import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "../api";
import { useWatch } from "../live";
import { PhaseBadge, underway } from "../phase";
import { Link, navigate, useQueryText } from "../router";
import { Command, Empty, Loaded, Page, When } from "../ui";
import { Moves } from "./moves";
import { Agents } from "./agents";
import { Builds } from "./builds";
import { Settings } from "./settings";
import { Sharing } from "./sharing";
import { ScheduleTab } from "./schedule";
import type { Workspace } from "../schema";

interface Name {
  owner: string;
  name: string;
}

const tabs: [string, string, (w: Workspace) => boolean][] = [
  ["", "Overview", () => true],
  ["build", "Builds", (w) => !w.external],
  ["schedule", "Schedule", (w) => !w.external && mayChange(w)],
  ["sharing", "Sharing", (w) => !w.shared],
  ["settings", "Settings", mayChange],
];

function mayChange(w: Workspace): boolean {
  return !w.shared || w.shared === "admin";
}

export default function WorkspacePage(of: Name) {
  const cache = useQueryClient();
  const key = ["workspace", of.owner, of.name];
  const workspace = useQuery({ queryKey: key, queryFn: () => ask(api.GET("/api/v1/workspaces/{owner}/{name}", { params: { path: of } })) });
  const w = workspace.data;

  const again = () => void cache.invalidateQueries({ queryKey: key });
  useWatch(w ? "workspaces?workspace=" + w.id : "", {
    again,
    change: (c) => {
      if (c.kind === "workspace" && c.action === "deleted") {
        void cache.invalidateQueries({ queryKey: ["workspaces"] });
        return navigate("/workspaces");
      }
      // What lists leave out (scripts, metadata) is not in a change either.
      again();
      if (c.kind === "ports") void cache.invalidateQueries({ queryKey: ["ports", w!.id] });
      if (c.kind === "apps") void cache.invalidateQueries({ queryKey: ["apps", w!.id] });
      if (c.kind === "build") void cache.invalidateQueries({ queryKey: ["builds", w!.id] });
    },
  });

  if (workspace.error instanceof Problem && workspace.error.status === 404) {
    return (
      <Page title={of.name}>
        <Empty title="There is no such workspace">
          <p>It was deleted, it has another name now, or it is not shared with you.</p>
          <Link className="button" href="/workspaces">
            Your workspaces
          </Link>
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title={`${of.owner}/${of.name}`}
      heading={
        <>
          <span className="soft">{of.owner}/</span>
          {of.name} {w && <PhaseBadge of={w} />}
        </>
      }
      actions={w && <Moves of={w} deleted={() => navigate("/workspaces")} />}
    >
      <Loaded of={workspace} what="the workspace" rows={5}>
        {(now) => <Body of={now} />}
      </Loaded>
    </Page>
  );
}

function Body({ of: w }: { of: Workspace }) {
  const [tab] = useQueryText("tab");
  const base = `/workspaces/${w.owner}/${w.name}`;
  const shown = tabs.filter(([, , may]) => may(w));
  const at = shown.some(([id]) => id === tab) ? tab : "";
  return (
    <>
      <p className="soft facts-line">
        {w.external ? "External" : <Link href={`/templates/${w.organization}/${w.template}`}>{`${w.template} version ${w.template_version}`}</Link>}
        <span>
          used <When at={w.last_active_at} />
        </span>
        <span>
          made <When at={w.created_at} />
        </span>
      </p>
      {w.warnings?.map((text) => (
        <p className="note" key={text}>
          {text}
        </p>
      ))}
      <nav className="tabs" aria-label="Parts of the workspace">
        {shown.map(([id, label]) => (
          <Link key={id} href={id ? `${base}?tab=${id}` : base} aria-current={at === id ? "page" : undefined}>
            {label}
          </Link>
        ))}
      </nav>
      {at === "" && <Overview of={w} />}
      {at === "build" && <Builds of={w} />}
      {at === "schedule" && <ScheduleTab of={w} />}
      {at === "sharing" && <Sharing of={w} />}
      {at === "settings" && <Settings of={w} />}
    </>
  );
}

function Overview({ of: w }: { of: Workspace }) {
  const failed = w.phase === "failed" ? w.latest_build?.job : undefined;
  const unmet = w.conditions?.filter((c) => c.status === "false" && c.message) ?? [];
  return (
    <div className="stack wide">
      {failed && (
        <div className="trouble" role="alert">
          <div>
            <strong>The last build failed.</strong> {failed.error}{" "}
            <Link href={`/workspaces/${w.owner}/${w.name}?tab=build`}>Its log</Link>
          </div>
        </div>
      )}
      {underway(w) && (
        <p className="note" role="status">
          A build is under way. <Link href={`/workspaces/${w.owner}/${w.name}?tab=build`}>Watch it</Link>
        </p>
      )}
      {unmet.length > 0 && !failed && (
        <ul className="plain soft">
          {unmet.map((c) => (
            <li key={c.type}>{c.message}</li>
          ))}
        </ul>
      )}
      {w.phase === "running" && (
        <section>
          <h2>From a terminal</h2>
          <Command>{`adit ssh ${w.shared ? w.owner + "/" + w.name : w.name}`}</Command>
        </section>
      )}
      <Agents of={w} />
    </div>
  );
}
