// What those see who look after a deployment.
import { lazy, Suspense } from "react";
import { Link } from "../router";
import { mayAdminister, mayOversee, useMe } from "../session";
import { Page, Waiting } from "../ui";

// Administrators of people see people alone.
const parts = {
  users: ["Users", lazy(() => import("./users")), mayAdminister],
  groups: ["Groups", lazy(() => import("./groups")), mayAdminister],
  provisioners: ["Provisioners", lazy(() => import("./provisioners")), mayOversee],
  relays: ["Relays", lazy(() => import("./relays")), mayOversee],
  audit: ["Audit log", lazy(() => import("./audit")), mayOversee],
} as const;

export default function Admin({ part }: { part: string }) {
  const me = useMe().data;
  const at = part in parts ? (part as keyof typeof parts) : "users";
  const [title, Part] = parts[at];
  return (
    <Page title={title}>
      <nav className="tabs" aria-label="Administration">
        {Object.entries(parts).filter(([, [, , may]]) => may(me)).map(([id, [label]]) => (
          <Link key={id} href={"/admin/" + id} aria-current={at === id ? "page" : undefined}>
            {label}
          </Link>
        ))}
      </nav>
      <Suspense fallback={<Waiting label={title} />}>
        <Part />
      </Suspense>
    </Page>
  );
}
