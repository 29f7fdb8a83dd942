-- name: HostKeyRoot :one
select key_id, sealed from host_key_root;

-- name: InsertHostKeyRoot :exec
insert into host_key_root (key_id, sealed) values ($1, $2) on conflict do nothing;

-- name: ResealHostKeyRoot :exec
update host_key_root set key_id = $1, sealed = $2 where key_id = @old_key_id;

-- name: SetHostKey :exec
update agents set host_key = $2 where id = $1 and host_key <> $2;
