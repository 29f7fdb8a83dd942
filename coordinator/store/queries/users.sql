-- name: CountUsers :one
select count(*) from users;

-- name: LockUsers :exec
lock table users in share row exclusive mode;

-- name: InsertUser :one
insert into users (username, email, password_hash, role)
values ($1, $2, $3, $4)
returning *;

-- name: UserByName :one
select * from users where lower(username) = lower(@username) and deleted_at is null;

-- name: UserByID :one
select * from users where id = $1;

-- name: InsertToken :one
insert into api_tokens (user_id, name, secret_hash, expires_at)
values ($1, $2, $3, $4)
returning *;

-- name: LiveToken :one
select sqlc.embed(t), u.username, u.role,
    coalesce((select jsonb_object_agg(m.organization_id, m.role) from organization_members m where m.user_id = u.id), '{}')::jsonb as organizations
from api_tokens t join users u on u.id = t.user_id
where t.id = $1 and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
and u.suspended_at is null and u.deleted_at is null;

-- name: TokensOfUser :many
select * from api_tokens
where user_id = $1 and revoked_at is null and (expires_at is null or expires_at > now())
order by created_at;

-- name: RevokeToken :execrows
update api_tokens set revoked_at = now()
where id = $1 and user_id = $2 and revoked_at is null;

-- name: TouchToken :exec
update api_tokens set last_used_at = now()
where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute');
