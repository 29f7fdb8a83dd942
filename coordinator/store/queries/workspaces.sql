-- name: InsertWorkspace :one
insert into workspaces (owner_id, name, external)
values ($1, $2, $3)
returning *;

-- name: InsertAgent :one
insert into agents (workspace_id, name, token_hash)
values ($1, $2, $3)
returning *;

-- name: WorkspacesOfOwner :many
select w.*, u.username as owner_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and w.owner_id = $1
order by w.name;

-- name: AllWorkspaces :many
select w.*, u.username as owner_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null
order by u.username, w.name;

-- name: WorkspaceByName :one
select w.*, u.username as owner_name from workspaces w join users u on u.id = w.owner_id
where w.deleted_at is null and lower(u.username) = lower(@owner_name) and lower(w.name) = lower(@name);

-- name: AgentsOfWorkspaces :many
select * from agents where workspace_id = any(@workspace_ids::uuid[]) order by name;

-- name: DeleteWorkspace :execrows
update workspaces set deleted_at = now() where id = $1 and deleted_at is null;

-- name: LiveAgent :one
select a.*, w.owner_id, w.name as workspace_name, u.username as owner_name
from agents a
join workspaces w on w.id = a.workspace_id
join users u on u.id = w.owner_id
where a.id = $1 and w.deleted_at is null;
