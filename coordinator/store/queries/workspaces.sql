-- name: InsertWorkspace :one
insert into workspaces (owner_id, name, external, template_id, phase, organization_id)
select u.id, @name::text, @external::boolean, sqlc.narg(template_id)::uuid, @phase::text,
    coalesce(t.organization_id, @organization_id::uuid) as organization_id
from users u left join templates t on t.id = sqlc.narg(template_id)::uuid
where u.id = @owner_id and u.deleted_at is null
for key share of u
returning *;

-- name: InsertAgent :one
insert into agents (workspace_id, name, token_hash)
values ($1, $2, $3)
returning *;

-- Two queries, not one with an optional owner: each has its own plan.

-- name: WorkspacesOfOwner :many
select w.*, u.username as owner_name, (select o.name from organizations o where o.id = w.organization_id)::text as organization_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and w.owner_id = @owner_id and lower(w.name) > @after_name::text
and (@name::text = '' or strpos(lower(w.name), lower(@name)) > 0)
and (@phase::text = '' or w.phase = @phase)
and (sqlc.narg('external')::boolean is null or w.external = sqlc.narg('external'))
and (@template::text = '' or w.template_id in (select t.id from templates t join organizations o on o.id = t.organization_id
    where lower(@template) in (lower(t.name), lower(o.name) || '/' || lower(t.name)) and t.deleted_at is null))
order by lower(w.name) limit @max;

-- Owner by owner, so that a page is read from two indexes and not sorted out of all.
-- name: AllWorkspaces :many
select w.*, u.username as owner_name, (select o.name from organizations o where o.id = w.organization_id)::text as organization_name
from users u cross join lateral (
    select * from workspaces v
    where v.owner_id = u.id and v.deleted_at is null
    and (lower(u.username) > @after_owner::text or lower(v.name) > @after_name::text)
    and (@name::text = '' or strpos(lower(v.name), lower(@name)) > 0)
    and (@phase::text = '' or v.phase = @phase)
    and (sqlc.narg('external')::boolean is null or v.external = sqlc.narg('external'))
    and (@template::text = '' or v.template_id in (select t.id from templates t join organizations o on o.id = t.organization_id
    where lower(@template) in (lower(t.name), lower(o.name) || '/' || lower(t.name)) and t.deleted_at is null))
    order by lower(v.name) limit @max
) w
where lower(u.username) >= @after_owner
and (@owner::text = '' or lower(u.username) = lower(@owner))
order by lower(u.username), lower(w.name) limit @max;

-- name: WorkspaceByName :one
select w.*, u.username as owner_name, (select o.name from organizations o where o.id = w.organization_id)::text as organization_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and lower(u.username) = lower(@owner_name) and lower(w.name) = lower(@name);

-- name: AgentsOfWorkspaces :many
select * from agents where workspace_id = any(@workspace_ids::uuid[]) order by name;

-- name: DeleteWorkspace :execrows
update workspaces set deleted_at = now(), phase = 'deleted', version = version + 1 where id = $1 and deleted_at is null;

-- name: LiveAgent :one
select a.*, w.owner_id, w.organization_id, w.name as workspace_name, u.username as owner_name,
    o.name as organization_name, coalesce(t.name, '')::text as template_name
from agents a
join workspaces w on w.id = a.workspace_id
join users u on u.id = w.owner_id
join organizations o on o.id = w.organization_id
left join templates t on t.id = w.template_id
where a.id = $1 and w.deleted_at is null;

-- name: WorkspaceByID :one
select w.*, u.username as owner_name, (select o.name from organizations o where o.id = w.organization_id)::text as organization_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and w.id = $1;

-- name: LockWorkspace :one
select * from workspaces where id = $1 for no key update;

-- name: LockFreeWorkspace :one
select * from workspaces where id = $1 for no key update skip locked;

-- name: RenameWorkspace :exec
update workspaces set name = $2, version = version + 1 where id = $1;

-- name: MoveWorkspace :exec
update workspaces set
    phase = @phase, state_held_by = @state_held_by, version = version + 1,
    deleted_at = case when @phase = 'deleted' then coalesce(deleted_at, now()) else deleted_at end
where id = @id;

-- name: UpsertAgent :exec
insert into agents (id, workspace_id, name, token_hash, build_id, manifest, auth, instance_id, connection_timeout)
values (@id, @workspace_id, @name, @token_hash, @build_id, @manifest, @auth, @instance_id, @connection_timeout)
on conflict (id) do update set
    token_hash = excluded.token_hash, build_id = excluded.build_id, manifest = excluded.manifest,
    -- With the token that it has it goes on, and has run them.
    scripts_state = case when agents.token_hash = excluded.token_hash then agents.scripts_state else 'none' end,
    script_runs = case when agents.token_hash = excluded.token_hash then agents.script_runs else '[]' end,
    auth = excluded.auth, instance_id = excluded.instance_id, connection_timeout = excluded.connection_timeout,
    state = case when agents.state = 'connected' then agents.state else 'connecting' end;

-- name: DeleteAgentsOfOtherBuilds :many
delete from agents where workspace_id = $1 and build_id is distinct from $2 returning id;

-- name: LockOutAgents :exec
update agents set token_hash = '' where workspace_id = $1;

-- name: SetScriptsState :execrows
update agents set scripts_state = $2, script_runs = $3 where id = $1;

-- name: TouchWorkspace :exec
update workspaces set version = version + 1 where id = $1;
