-- name: PruneIdempotencyKeys :exec
delete from idempotency_keys where ctid = any(array(
    select ctid from idempotency_keys where created_at < now() - interval '24 hours' limit 100 for update skip locked));

-- name: InsertIdempotencyKey :execrows
insert into idempotency_keys (user_id, key_hash, claim, digest) values ($1, $2, $3, $4)
on conflict do nothing;

-- name: LockIdempotencyKey :one
select *, claimed_at < now() - @lease::interval as abandoned, created_at < now() - interval '24 hours' as expired
from idempotency_keys where user_id = @user_id and key_hash = @key_hash for update;

-- name: TakeIdempotencyKey :exec
update idempotency_keys set
    claim = @claim, digest = @digest, claimed_at = now(), created_at = now(), done = false, status = null, answer = null
where user_id = @user_id and key_hash = @key_hash;

-- name: MarkIdempotencyKey :execrows
update idempotency_keys set done = true where user_id = @user_id and key_hash = @key_hash and claim = @claim;

-- name: FinishIdempotencyKey :exec
update idempotency_keys set done = true, status = @status, answer = @answer
where user_id = @user_id and key_hash = @key_hash and claim = @claim;

-- name: ReleaseIdempotencyKey :exec
delete from idempotency_keys where user_id = @user_id and key_hash = @key_hash and claim = @claim and not done;
