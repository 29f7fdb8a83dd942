-- name: CountUsers :one
select count(*) from users where id <> @nobody;

-- name: LockUsers :exec
lock table users in share row exclusive mode;

-- name: InsertUser :one
insert into users (username, email, password_hash, role)
values ($1, $2, $3, $4)
returning *;

-- name: UserByName :one
select * from users where lower(username) = lower(@username) and deleted_at is null;

-- name: UserByID :one
select * from users where id = $1 and deleted_at is null;

-- name: UserByEmail :one
select * from users where lower(email) = lower(@email) and deleted_at is null;

-- name: Users :many
select * from users
where deleted_at is null and lower(username) > @after::text
and (@name::text = '' or strpos(lower(username), lower(@name)) > 0)
and (id = @own::uuid or role = 'member' and @members::boolean or role <> 'member' and @administrators::boolean)
order by lower(username) limit @max;

-- name: LockUser :one
select * from users where id = $1 and deleted_at is null for update;

-- name: CountActiveOwners :one
select count(*) from users where role = 'owner' and deleted_at is null and suspended_at is null;

-- name: WriteUser :one
update users set email = @email, role = @role, password_hash = @password_hash, suspended_at = @suspended_at
where id = @id
returning *;

-- name: MarkUserDeleted :exec
update users set deleted_at = now(), password_hash = '' where id = $1;

-- name: ForgetUser :exec
with i as (delete from user_identities where user_identities.user_id = @id),
    g as (delete from group_members where group_members.user_id = @id),
    n as (delete from nodes where nodes.user_id = @id and nodes.agent_id is null)
delete from organization_members where organization_members.user_id = @id;

-- name: WorkspacesOfTemplates :many
select name from workspaces where owner_id = $1 and deleted_at is null and not external order by name;

-- name: DeleteExternalWorkspaces :many
with w as (
    update workspaces set deleted_at = now(), phase = 'deleted', version = version + 1
    where owner_id = $1 and deleted_at is null and external
    returning id
)
select a.id from agents a join w on w.id = a.workspace_id;

-- name: InsertToken :one
insert into api_tokens (user_id, name, secret_hash, expires_at, scopes, kind)
select u.id, @name::text, @secret_hash::bytea, sqlc.narg(expires_at)::timestamptz, @scopes::text[], @kind::text
from users u where u.id = @user_id and u.deleted_at is null and u.suspended_at is null
for key share
returning *;

-- name: LiveToken :one
select sqlc.embed(t), u.username, u.role,
    coalesce((select jsonb_object_agg(m.organization_id, m.role) from organization_members m where m.user_id = u.id), '{}')::jsonb as organizations
from api_tokens t join users u on u.id = t.user_id
where t.id = $1 and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
and u.suspended_at is null and u.deleted_at is null;

-- name: TokensOfUser :many
select * from api_tokens
where user_id = @user_id and revoked_at is null and (expires_at is null or expires_at > now())
and (sqlc.narg(after_at)::timestamptz is null or (created_at, id) > (sqlc.narg(after_at)::timestamptz, @after_id::uuid))
and (@name::text = '' or strpos(lower(name), lower(@name)) > 0)
order by created_at, id limit @max;

-- name: TokenByID :one
select * from api_tokens
where id = $1 and revoked_at is null and (expires_at is null or expires_at > now());

-- name: RevokeToken :execrows
update api_tokens set revoked_at = now()
where id = $1 and user_id = $2 and revoked_at is null;

-- name: RevokeTokensBut :many
update api_tokens set revoked_at = now()
where user_id = @user_id and id <> @keep and revoked_at is null
returning id;

-- name: TouchToken :exec
update api_tokens set last_used_at = now()
where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute');
