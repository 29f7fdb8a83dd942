import { useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { api, ask } from "../api";
import { diff, unpack, type TarFile } from "../archive";
import { Badge, Button, Loaded } from "../ui";
import type { TemplateName } from "./template";

function useFiles(template: TemplateName, number: number | undefined) {
  return useQuery({
    queryKey: ["files", template.organization, template.name, number],
    enabled: number !== undefined,
    staleTime: Infinity, // a version's files stay as they were pushed
    queryFn: async () => {
      const call = api.GET("/api/v1/templates/{name}/versions/{number}/archive", {
        params: { path: { name: template.name, number: number! }, query: { organization: template.organization } },
        parseAs: "blob",
      });
      return unpack((await ask(call as never)) as Blob);
    },
  });
}

/** Files are those of a version, or how they differ from the version before. */
export function Files({ template, number, before }: { template: TemplateName; number: number; before?: number }) {
  const [compare, setCompare] = useState(false);
  const files = useFiles(template, number);
  const old = useFiles(template, compare ? before : undefined);
  return (
    <>
      {before !== undefined && (
        <div className="actions">
          <Button className="quiet" aria-pressed={compare} onClick={() => setCompare(!compare)}>
            Compare with version {before}
          </Button>
        </div>
      )}
      <Loaded of={files} what="files">
        {(now) =>
          compare ? (
            <Loaded of={old} what={`files of version ${before}`}>
              {(was) => <Difference was={was} is={now} />}
            </Loaded>
          ) : (
            <div className="log">
              {now.map((f, i) => (
                <details key={f.name} open={i === 0 || f.name === "main.tf"}>
                  <summary>
                    <span className="stage">{f.name}</span>
                  </summary>
                  <pre className="lines" tabIndex={0} aria-label={f.name}>
                    {f.text ?? "This file is not text."}
                  </pre>
                </details>
              ))}
            </div>
          )
        }
      </Loaded>
    </>
  );
}

function Difference({ was, is }: { was: TarFile[]; is: TarFile[] }) {
  const names = [...new Set([...was, ...is].map((f) => f.name))].sort();
  const changed = names.flatMap((name) => {
    const a = was.find((f) => f.name === name);
    const b = is.find((f) => f.name === name);
    return a && b && a.text === b.text ? [] : [{ name, a, b }];
  });
  if (changed.length === 0) return <p className="soft">The files are the same.</p>;
  return (
    <div className="log">
      {changed.map(({ name, a, b }) => (
        <details key={name} open>
          <summary>
            <span className="stage">{name}</span>
            {!a && <Badge tone="good">new</Badge>}
            {!b && <Badge tone="bad">gone</Badge>}
          </summary>
          <div className="lines diff" tabIndex={0} role="group" aria-label={"Changes of " + name}>
            {diff(a?.text ?? "", b?.text ?? "").map((l, i) => (
              <div key={i} className={l.kind}>
                {l.kind === "gone" ? "− " : l.kind === "new" ? "+ " : "  "}
                {l.text}
              </div>
            ))}
          </div>
        </details>
      ))}
    </div>
  );
}
