-- name: SetGitCredential :exec
insert into git_credentials (user_id, origin, username, key_id, sealed) values (@user_id, @origin, @username, @key_id, @sealed)
on conflict (user_id, origin) do update set
    username = excluded.username, key_id = excluded.key_id, sealed = excluded.sealed, created_at = now(), used_at = null;

-- name: GitCredentials :many
select * from git_credentials where user_id = $1 order by origin;

-- name: GitCredential :one
select * from git_credentials where user_id = $1 and origin = $2;

-- name: GitCredentialUsed :exec
update git_credentials set used_at = now()
where user_id = $1 and origin = $2 and (used_at is null or used_at < now() - interval '1 minute');

-- name: DeleteGitCredential :execrows
delete from git_credentials where user_id = $1 and origin = $2;

-- name: GitCredentialsSealedOtherwise :many
select * from git_credentials where key_id <> @key_id limit 100;

-- name: ResealGitCredential :exec
update git_credentials set key_id = @key_id, sealed = @sealed
where user_id = @user_id and origin = @origin and key_id = @old_key_id;

-- name: SetDotfiles :exec
insert into dotfiles (user_id, url, ref) values ($1, $2, $3)
on conflict (user_id) do update set url = excluded.url, ref = excluded.ref;

-- name: DeleteDotfiles :exec
delete from dotfiles where user_id = $1;

-- name: DotfilesOf :many
select * from dotfiles where user_id = $1;
