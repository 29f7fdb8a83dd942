-- name: EventsAfter :many
select e.*, (select min(o.version) from events o)::bigint as oldest
from events e where e.version > $1 order by e.version limit $2;

-- name: NewestEvent :one
select coalesce(max(version), 0)::bigint from events;

-- name: PruneEvents :execrows
delete from events where version in (
    select e.version from events e
    where e.at < @before and e.version < (select max(n.version) from events n)
    order by e.version limit @batch
);

-- name: WorkspacesByIDs :many
select w.*, u.username as owner_name, (select o.name from organizations o where o.id = w.organization_id)::text as organization_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and w.id = any(@ids::uuid[]);
