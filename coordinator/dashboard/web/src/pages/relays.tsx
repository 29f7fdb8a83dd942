import { api, ask } from "../api";
import { Table } from "../table";
import { Badge, Command, Empty, When } from "../ui";
import type { Relay } from "../schema";

const bytes = new Intl.NumberFormat("en", { notation: "compact", style: "unit", unit: "byte", unitDisplay: "narrow" });

export default function Relays() {
  return (
    <Table
      what="relays"
      queryKey={["relays"]}
      page={(cursor) => ask(api.GET("/api/v1/relays", { params: { query: { cursor, limit: 100 } } }))}
      id={(r: Relay) => r.id ?? r.name}
      none={
        <Empty title="No relays of your own">
          <p>The server relays by itself, unless it was told not to. One in another region joins with a token:</p>
          <Command>adit relays create fra1 --region fra</Command>
        </Empty>
      }
      columns={[
        ["Name", (r) => <strong>{r.name}</strong>],
        ["Region", (r) => `${r.region.name} (${r.region.code})`],
        ["State", (r) => <Badge tone={r.connected ? "good" : "idle"}>{r.connected ? "connected" : "away"}</Badge>],
        ["Nodes", (r) => r.load?.clients ?? 0],
        ["Relayed", (r) => bytes.format(r.load?.bytes ?? 0)],
        ["Dropped", (r) => r.load?.dropped ?? 0],
        ["Version", (r) => r.version],
        ["Seen", (r) => <When at={r.last_seen_at} never="not yet" />],
      ]}
    />
  );
}
