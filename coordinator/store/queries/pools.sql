-- name: Pools :many
select p.*, t.name as template_name, t.organization_id, coalesce(t.active_version_id, '00000000-0000-0000-0000-000000000000')::uuid as version_id
from pools p join templates t on t.id = p.id
where t.deleted_at is null order by p.id;

-- name: PoolOf :one
select p.*, t.name as template_name, t.organization_id, coalesce(t.active_version_id, '00000000-0000-0000-0000-000000000000')::uuid as version_id
from pools p join templates t on t.id = p.id
where t.deleted_at is null and p.id = $1;

-- name: LockPool :one
select id from pools where id = $1 for no key update;

-- name: SetPool :exec
insert into pools (id, size, schedule, parameters) values ($1, $2, $3, $4)
on conflict (id) do update set
    size = excluded.size, schedule = excluded.schedule, parameters = excluded.parameters, failures = 0, failed_at = null, problem = '';

-- name: PoolFailed :exec
update pools set failures = failures + 1, failed_at = now(), problem = @problem where id = @id;

-- name: PoolIsWell :exec
update pools set failures = 0, failed_at = null, problem = '' where id = $1;

-- Those that nobody has claimed, the oldest first.
-- name: PoolMembers :many
select w.id, w.phase, (w.state_held_by is not null)::boolean as held, b.transition, b.template_version_id, b.parameters, b.number as build_number, b.created_at as built_at,
    b.finished_at, j.error, w.daily_cost
from workspaces w
join builds b on b.workspace_id = w.id and b.number = (select max(l.number) from builds l where l.workspace_id = w.id)
join jobs j on j.build_id = b.id
where w.owner_id = @owner_id and w.template_id = @template_id and w.deleted_at is null
order by w.created_at, w.id;

-- name: InsertPrepared :one
insert into workspaces (owner_id, name, external, template_id, phase, organization_id)
select @owner_id, @name::text, false, t.id, @phase::text, t.organization_id
from templates t where t.id = @template_id and t.deleted_at is null
returning *;

-- name: FinishBuildAtOnce :exec
with done as (
    update jobs set status = 'succeeded', started_at = now(), finished_at = now() where build_id = @build_id::uuid
)
update builds set finished_at = now(), resources = @resources where builds.id = @build_id::uuid;

-- name: AgentsFollowBuild :exec
update agents set build_id = @build_id where workspace_id = @workspace_id;

-- name: SecretOfBuild :one
select agent_secret from builds where id = $1;

-- name: FailingPools :many
select p.*, t.name as template_name, o.name as organization_name
from pools p join templates t on t.id = p.id join organizations o on o.id = t.organization_id
where p.failures > 0 and p.size > 0 and t.deleted_at is null order by t.name, o.name;
