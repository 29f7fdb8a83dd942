import { api, ask } from "../api";
import { Table } from "../table";
import { Badge, Command, Empty, When } from "../ui";
import type { Provisioner, ProvisionerKey } from "../schema";

function tagsOf(tags: Record<string, string>): string {
  return Object.entries(tags).map(([k, v]) => `${k}=${v}`).join(" ");
}

export default function Provisioners() {
  return (
    <>
      <section>
        <h2>Connected, and those who were</h2>
        <Table
          what="provisioners"
          queryKey={["provisioners"]}
          page={(cursor) => ask(api.GET("/api/v1/provisioners", { params: { query: { cursor, limit: 100 } } }))}
          id={(p: Provisioner) => p.id}
          none={<Empty title="There is none">Workspaces are not built without one: start the server with --provisioners, or run adit provisioner.</Empty>}
          columns={[
            ["Name", (p) => <strong>{p.name}</strong>],
            ["State", (p) => <Badge tone={p.connected ? "good" : "idle"}>{p.connected ? "connected" : "away"}</Badge>],
            ["Jobs", (p) => `${p.running} of ${p.slots}`],
            ["Terraform", (p) => p.terraform_version],
            ["Tags", (p) => <code>{tagsOf(p.tags)}</code>],
            ["Key", (p) => p.key || "built in"],
            ["Seen", (p) => <When at={p.last_seen_at} />],
          ]}
        />
      </section>
      <section>
        <h2>Keys</h2>
        <Table
          what="keys"
          queryKey={["provisioner-keys"]}
          page={(cursor) => ask(api.GET("/api/v1/provisioner-keys", { params: { query: { cursor, limit: 100 } } }))}
          id={(k: ProvisionerKey) => k.id}
          none={
            <Empty title="No keys yet">
              <p>A provisioner elsewhere joins with a key:</p>
              <Command>adit provisioners keys create lab --tag site=lab</Command>
            </Empty>
          }
          columns={[
            ["Name", (k) => <strong>{k.name}</strong>],
            ["Organization", (k) => k.organization],
            ["Tags", (k) => <code>{tagsOf(k.tags)}</code>],
            ["Made", (k) => <When at={k.created_at} />],
          ]}
        />
      </section>
    </>
  );
}
