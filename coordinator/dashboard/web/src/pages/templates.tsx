import { useQuery } from "@tanstack/react-query";
import { all, api, ask } from "../api";
import { Link } from "../router";
import { Badge, Command, Empty, Loaded, Page, When } from "../ui";

export default function Templates() {
  const list = useQuery({
    queryKey: ["templates"],
    queryFn: () => all((cursor) => ask(api.GET("/api/v1/templates", { params: { query: { cursor, limit: 500 } } }))),
  });
  return (
    <Page title="Templates">
      <Loaded of={list} what="templates">
        {(templates) =>
          templates.length === 0 ? (
            <Empty title="No templates yet">
              <p>A template is a directory of Terraform. Push one from a terminal:</p>
              <Command>adit templates init process && adit templates push process -d process</Command>
            </Empty>
          ) : (
            <ul className="rows">
              {templates.map((t) => (
                <li key={t.id}>
                  <div className="what">
                    <Link className="name" href={`/templates/${t.organization}/${t.name}`}>
                      {t.name}
                    </Link>
                    <span className="soft">{t.organization}</span>
                  </div>
                  <Badge tone={t.active_version ? "good" : "idle"}>{t.active_version ? `version ${t.active_version}` : "not usable yet"}</Badge>
                  <span className="soft when">
                    {t.workspaces === 1 ? "1 workspace" : `${t.workspaces} workspaces`} · made <When at={t.created_at} />
                  </span>
                  <div className="actions">
                    {t.active_version > 0 && (
                      <Link className="button" href={`/new?template=${encodeURIComponent(t.organization === "default" ? t.name : t.organization + "/" + t.name)}`} aria-label={`Use ${t.name}`}>
                        Use
                      </Link>
                    )}
                  </div>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Page>
  );
}
