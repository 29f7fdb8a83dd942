import { useQuery } from "@tanstack/react-query";
import { api, ask } from "../api";
import { Badge, Button, Empty, Loaded, Page, When } from "../ui";

export default function HealthPage() {
  const health = useQuery({ queryKey: ["health"], queryFn: () => ask(api.GET("/api/v1/health")), refetchInterval: 30_000 });
  return (
    <Page
      title="Health"
      actions={
        <Button busy={health.isFetching} onClick={() => void health.refetch()}>
          Check now
        </Button>
      }
    >
      <Loaded of={health} what="how the deployment is doing">
        {(h) => (
          <>
            <p className="soft">
              Checked <When at={h.checked_at} />
            </p>
            {h.findings?.length ? (
              <ul className="findings">
                {h.findings.map((f) => (
                  <li key={f.code + f.evidence}>
                    <h2>
                      <Badge tone={f.severity === "error" ? "bad" : "warn"}>{f.severity}</Badge> <code>{f.code}</code>
                    </h2>
                    <p>{f.evidence}</p>
                    <p>
                      <strong>What to do:</strong> {f.fix}
                    </p>
                  </li>
                ))}
              </ul>
            ) : (
              <Empty title="All is well">Database, relays, provisioners, certificate and disk have been looked at.</Empty>
            )}
          </>
        )}
      </Loaded>
    </Page>
  );
}
