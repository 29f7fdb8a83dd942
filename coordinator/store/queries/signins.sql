-- name: CountLogin :one
insert into login_failures as f (name, failures) values (@name, 1)
on conflict (name) do update set
    failures = case when f.last_at < now() - interval '1 day' then 1 else f.failures + 1 end,
    last_at = now(),
    locked_until = case when f.failures + 1 >= @free::int and f.last_at >= now() - interval '1 day'
        then now() + least(interval '15 minutes', interval '15 seconds' * power(2, least(f.failures + 1 - @free::int, 10))) end
where f.locked_until is null or f.locked_until <= now()
returning f.failures;

-- name: LoginLockedFor :one
select extract(epoch from locked_until - now())::float8 as seconds from login_failures where name = @name and locked_until > now();

-- name: ForgetLogins :exec
delete from login_failures where name = @name or last_at < now() - interval '1 day';

-- name: UserByIdentity :one
update user_identities i set last_used_at = now()
from users u
where i.issuer = @issuer and i.subject = @subject and u.id = i.user_id and u.deleted_at is null
returning u.*;

-- name: InsertIdentity :exec
insert into user_identities (issuer, subject, user_id) values ($1, $2, $3);

-- name: HasIdentityOf :one
select exists (select 1 from user_identities where user_id = @user_id and issuer = @issuer);

-- name: IssuersOfUser :many
select issuer from user_identities where user_id = $1;

-- name: InsertDeviceLogin :one
with old as (delete from device_logins where expires_at < now())
insert into device_logins (secret_hash, user_code, remote, expires_at) values ($1, $2, $3, $4)
returning *;

-- name: DeviceLoginByCode :one
select * from device_logins
where user_code = $1 and expires_at > now() and approved_by is null and denied_at is null;

-- name: DecideDeviceLogin :execrows
update device_logins set
    approved_by = case when @approve::boolean then sqlc.narg(user_id)::uuid end,
    denied_at = case when @approve::boolean then null else now() end
where user_code = @user_code and expires_at > now() and approved_by is null and denied_at is null;

-- name: DeviceLogin :one
select * from device_logins where id = $1 and expires_at > now();

-- name: TakeDeviceLogin :one
delete from device_logins where id = $1 and approved_by is not null and expires_at > now() returning approved_by;
