import { useDeferredValue } from "react";
import { keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { api, ask } from "../api";
import { useWatch } from "../live";
import { PhaseBadge } from "../phase";
import { Link, useQueryText } from "../router";
import { useMe } from "../session";
import { Empty, Loaded, Page, When } from "../ui";
import { Moves } from "./moves";
import type { Workspace } from "../schema";

const phases = ["running", "stopped", "starting", "stopping", "failed"];
type Whose = "me" | "shared" | "all";

function useWorkspaces(whose: Whose, q: string) {
  return useInfiniteQuery({
    queryKey: ["workspaces", whose, q],
    initialPageParam: "",
    placeholderData: keepPreviousData,
    queryFn: ({ pageParam, signal }) => {
      const query = { q: q || undefined, limit: 50, cursor: pageParam || undefined };
      return whose === "shared"
        ? ask(api.GET("/api/v1/shared-workspaces", { params: { query: { ...query, q: nameOnly(q) || undefined } }, signal }))
        : ask(api.GET("/api/v1/workspaces", { params: { query: { ...query, owner: whose } }, signal }));
    },
    getNextPageParam: (last) => last.next_cursor,
  });
}

/** nameOnly leaves of a query what the list of shared workspaces knows. */
function nameOnly(q: string): string {
  return q.split(" ").filter((t) => !t.includes(":") || t.startsWith("name:")).join(" ");
}

export function Workspaces() {
  const me = useMe().data;
  const [text, setText] = useQueryText("q");
  const [status, setStatus] = useQueryText("status");
  const [whoseText, setWhose] = useQueryText("whose");
  const whose: Whose = whoseText === "shared" || whoseText === "all" ? whoseText : "me";
  const q = useDeferredValue([text.trim(), status && "status:" + status].filter(Boolean).join(" "));
  const list = useWorkspaces(whose, q);
  const cache = useQueryClient();

  const again = () => void cache.invalidateQueries({ queryKey: ["workspaces"] });
  useWatch(whose === "shared" ? "" : "workspaces?owner=" + whose, {
    again,
    change: (c) => {
      const now = c.workspace;
      const known = now && list.data?.pages.some((p) => p.items?.some((w) => w.id === now.id));
      if (!known || q) return again(); // it may belong into the list now, or not any more
      cache.setQueryData<typeof list.data>(["workspaces", whose, q], (d) => d && {
        ...d,
        pages: d.pages.map((p) => ({ ...p, items: p.items?.map((w) => (w.id === now.id ? { ...now, favourite: w.favourite, shared: w.shared } : w)) ?? null })),
      });
    },
  });

  return (
    <Page title="Workspaces" actions={<Link className="button main" href="/new">New workspace</Link>}>
      <form className="filters" role="search" onSubmit={(e) => e.preventDefault()}>
        <input type="search" aria-label="Search workspaces" placeholder="Search: name, template:…, owner:…" value={text} onChange={(e) => setText(e.target.value)} />
        <select aria-label="Status" value={status} onChange={(e) => setStatus(e.target.value)} disabled={whose === "shared"}>
          <option value="">Any status</option>
          {phases.map((p) => (
            <option key={p}>{p}</option>
          ))}
        </select>
        <select aria-label="Whose workspaces" value={whose} onChange={(e) => setWhose(e.target.value === "me" ? "" : e.target.value)}>
          <option value="me">Mine</option>
          <option value="shared">Shared with me</option>
          {(me?.role === "owner" || me?.role === "auditor") && <option value="all">Everybody's</option>}
        </select>
      </form>
      <Loaded of={list} what="workspaces" rows={5}>
        {(d) => {
          const items = d.pages.flatMap((p) => p.items ?? []);
          if (items.length === 0) return <None filtered={q !== ""} whose={whose} />;
          return (
            <>
              <ul className="rows">
                {items.map((w) => (
                  <Row key={w.id} of={w} mine={w.owner === me?.username} />
                ))}
              </ul>
              {list.hasNextPage && (
                <button onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
                  Show more
                </button>
              )}
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}

function None({ filtered, whose }: { filtered: boolean; whose: Whose }) {
  if (filtered) return <Empty title="None like that">Search for something else, or clear the search.</Empty>;
  if (whose === "shared") return <Empty title="Nobody shares a workspace with you">Owners share from their workspace's page.</Empty>;
  return (
    <Empty title="No workspaces yet">
      <p>A workspace is a machine of your own, made from a template, or any host on which you run an agent.</p>
      <Link className="button main" href="/new">
        New workspace
      </Link>
    </Empty>
  );
}

function Row({ of: w, mine }: { of: Workspace; mine: boolean }) {
  const href = `/workspaces/${w.owner}/${w.name}`;
  return (
    <li>
      <div className="what">
        <Link className="name" href={href}>
          {mine ? w.name : `${w.owner}/${w.name}`}
        </Link>
        <span className="soft">
          {w.external ? "external" : `${w.template ?? ""} v${w.template_version ?? "?"}`}
          {w.outdated && " · a newer version is active"}
        </span>
      </div>
      <PhaseBadge of={w} />
      <span className="soft when">
        used <When at={w.last_active_at} />
      </span>
      <div className="actions">
        <Moves of={w} />
      </div>
    </li>
  );
}
