-- name: UpkeepCandidates :many
select * from workspace_upkeep u
-- Those that are prepared have an upkeep of their own.
where not u.held and u.owner_id <> @nobody and (
    u.phase = 'stopped' and u.autostart <> '' and u.may_autostart and u.dormant_at is null
    or u.phase = 'running' and (coalesce(u.ttl, u.default_ttl) > 0 or u.max_ttl > 0)
    or (u.dormant_after > 0 or u.dormant_at is not null) and u.phase in ('running', 'stopped', 'failed')
);

-- name: UpkeepOf :many
select * from workspace_upkeep where id = any(@ids::uuid[]);

-- name: UseWorkspace :exec
update workspaces set used_at = now(), dormant_at = null, extended_until = null, upkeep_problem = '' where id = $1;

-- name: ForgetExtension :exec
update workspaces set extended_until = null, upkeep_problem = '' where id = $1;

-- name: WakeWorkspace :execrows
update workspaces set used_at = now(), dormant_at = null where id = $1 and deleted_at is null;

-- name: MarkDormant :exec
update workspaces set dormant_at = @at, version = version + 1 where id = @id;

-- name: SetAutostart :exec
update workspaces set autostart = @autostart, autostart_set_at = now() where id = @id;

-- name: SetTTL :exec
update workspaces set ttl = @ttl where id = @id;

-- name: ExtendWorkspace :execrows
update workspaces set extended_until = @until where id = @id and deleted_at is null and phase = 'running';

-- name: SetUpkeepProblem :exec
update workspaces set upkeep_problem = @problem where id = @id and upkeep_problem <> @problem;

-- name: TemplateLimits :one
select default_ttl, max_ttl, activity_bump, autostart, dormant_after, delete_after, cost, deprecated, version from templates where id = $1;

-- name: SetTemplateLimits :exec
update templates set default_ttl = @default_ttl, max_ttl = @max_ttl, activity_bump = @activity_bump, autostart = @autostart,
    dormant_after = @dormant_after, delete_after = @delete_after, cost = @cost, deprecated = @deprecated, version = version + 1
where id = @id and deleted_at is null;
