// Which page an address shows, and to whom.
import { lazy, Suspense, useEffect, type ReactNode } from "react";
import { message } from "./api";
import { match, navigate, usePath } from "./router";
import { useBuildInfo, useMe } from "./session";
import { Shell } from "./shell";
import { Page, Trouble, Waiting } from "./ui";
import { SignIn } from "./pages/signin";
import { Setup } from "./pages/setup";
import { Workspaces } from "./pages/workspaces";

const Create = lazy(() => import("./pages/create"));
const WorkspacePage = lazy(() => import("./pages/workspace"));
const TerminalPage = lazy(() => import("./pages/terminal"));
const FilesPage = lazy(() => import("./pages/browse"));
const PreviewPage = lazy(() => import("./pages/preview"));
const Templates = lazy(() => import("./pages/templates"));
const TemplatePage = lazy(() => import("./pages/template"));
const Mesh = lazy(() => import("./pages/mesh"));
const Admin = lazy(() => import("./pages/admin"));
const HealthPage = lazy(() => import("./pages/health"));
const Account = lazy(() => import("./pages/account"));

const routes: [string, (p: Record<string, string>) => ReactNode][] = [
  ["/workspaces", () => <Workspaces />],
  ["/new", () => <Create />],
  ["/workspaces/:owner/:name", (p) => <WorkspacePage owner={p.owner!} name={p.name!} key={p.owner + "/" + p.name} />],
  ["/workspaces/:owner/:name/terminal", (p) => <TerminalPage owner={p.owner!} name={p.name!} key={p.owner + "/" + p.name} />],
  ["/workspaces/:owner/:name/files", (p) => <FilesPage owner={p.owner!} name={p.name!} key={p.owner + "/" + p.name} />],
  ["/workspaces/:owner/:name/preview", (p) => <PreviewPage owner={p.owner!} name={p.name!} key={p.owner + "/" + p.name} />],
  ["/templates", () => <Templates />],
  ["/templates/:organization/:name", (p) => <TemplatePage organization={p.organization!} name={p.name!} key={p.organization + "/" + p.name} />],
  ["/mesh", () => <Mesh />],
  ["/admin/:part", (p) => <Admin part={p.part!} />],
  ["/health", () => <HealthPage />],
  ["/account", () => <Account />],
];

function pageOf(path: string): ReactNode {
  for (const [pattern, show] of routes) {
    const found = match(pattern, path);
    if (found) return show(found);
  }
  return (
    <Page title="No such page">
      <p>
        The address leads nowhere. Perhaps what was here is gone. <a href="/workspaces">Your workspaces</a>
      </p>
    </Page>
  );
}

/** Leave leads to another page, in place. */
function Leave({ to }: { to: string }) {
  useEffect(() => {
    if (to.startsWith("/open?")) location.replace(to); // to a workspace's app, by the coordinator's leave
    else navigate(to, true);
  }, [to]);
  return null;
}

export function App() {
  const path = usePath();
  const me = useMe();
  const info = useBuildInfo();

  const failed = me.error ?? info.error;
  if (failed) {
    return (
      <main className="alone">
        <Trouble what="The dashboard cannot begin" why={message(failed)} again={() => void Promise.all([me.refetch(), info.refetch()])} />
      </main>
    );
  }
  if (me.data === undefined || info.data === undefined) return <Waiting label="Loading" />;
  if (me.data === null) {
    if (!info.data.has_users) return path === "/setup" ? <Setup /> : <Leave to="/setup" />;
    if (path === "/login") return <SignIn />;
    const back = location.pathname === "/" ? "" : "?next=" + encodeURIComponent(location.pathname + location.search);
    return <Leave to={"/login" + back} />;
  }
  if (path === "/login" || path === "/setup" || path === "/") return <Leave to={nextPage()} />;
  return (
    <Shell me={me.data} version={info.data.version}>
      <Suspense fallback={<Waiting label="Loading the page" />}>{pageOf(path)}</Suspense>
    </Shell>
  );
}

/** nextPage is where somebody wanted to be who signs in: a page of ours, whatever the address says. */
export function nextPage(): string {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/[a-z]/.test(next) ? next : "/workspaces";
}
