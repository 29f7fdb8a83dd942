// A page about one agent of a workspace, which is there while the workspace runs.
import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { api, ask } from "../api";
import { Link as PageLink, useQueryText } from "../router";
import { Empty, Loaded, Page } from "../ui";
import { Moves } from "./moves";
import type { Agent, Workspace } from "../schema";

interface Of {
  of: { owner: string; name: string };
  what: string;
  /** without says what there is not while the workspace does not run. */
  without: string;
  /** children are of an agent, and of what chooses another where there are several. */
  children: (w: Workspace, agent: Agent, chooser: ReactNode) => ReactNode;
}

export function AgentPage({ of, what, without, children }: Of) {
  const workspace = useQuery({
    queryKey: ["workspace", of.owner, of.name],
    queryFn: () => ask(api.GET("/api/v1/workspaces/{owner}/{name}", { params: { path: of } })),
    refetchInterval: (q) => (q.state.data?.phase === "running" ? false : 2000),
  });
  const [wanted, setWanted] = useQueryText("agent");
  const w = workspace.data;
  return (
    <Page
      title={`${of.owner}/${of.name}: ${what}`}
      heading={
        <>
          <PageLink href={`/workspaces/${of.owner}/${of.name}`}>
            {of.owner}/{of.name}
          </PageLink>{" "}
          {what}
        </>
      }
      actions={w && w.phase !== "running" ? <Moves of={w} /> : undefined}
    >
      <Loaded of={workspace} what="the workspace" rows={5}>
        {(now) => {
          const agents = now.agents ?? [];
          const agent = agents.find((a) => a.name === wanted) ?? agents.find((a) => a.state === "connected") ?? agents[0];
          if (now.phase !== "running" || !agent) return <Empty title={`The workspace is ${now.phase}`}>{without}</Empty>;
          const chooser = agents.length > 1 && (
            <select aria-label="Agent" value={agent.name} onChange={(e) => setWanted(e.target.value)}>
              {agents.map((a) => (
                <option key={a.id}>{a.name}</option>
              ))}
            </select>
          );
          return children(now, agent, chooser);
        }}
      </Loaded>
    </Page>
  );
}
