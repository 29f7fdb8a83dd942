-- name: InsertProvisionerKey :one
insert into provisioner_keys (name, secret_hash, tags, created_by, organization_id) values ($1, $2, $3, $4, $5) returning *;

-- name: LiveProvisionerKey :one
select * from provisioner_keys where id = $1 and revoked_at is null;

-- name: ProvisionerKeys :many
select sqlc.embed(k), o.name as organization_name
from provisioner_keys k join organizations o on o.id = k.organization_id
where k.revoked_at is null and (@everywhere::boolean or k.organization_id = any(@organizations::uuid[]))
and (lower(k.name), lower(o.name)) > (@after_name::text, @after_organization::text)
and (@name::text = '' or strpos(lower(k.name), lower(@name)) > 0)
order by lower(k.name), lower(o.name) limit @max;

-- name: ProvisionerKeysByName :many
select sqlc.embed(k), o.name as organization_name
from provisioner_keys k join organizations o on o.id = k.organization_id
where k.revoked_at is null and lower(k.name) = lower(@name);

-- name: RevokeProvisionerKey :execrows
update provisioner_keys set revoked_at = now() where id = $1 and revoked_at is null;

-- name: UpsertProvisioner :one
insert into provisioners (id, key_id, name, version, terraform_version, tags, slots, draining)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (id) do update set
    version = excluded.version, terraform_version = excluded.terraform_version, tags = excluded.tags, slots = excluded.slots,
    draining = excluded.draining, connected_at = now(), last_seen_at = now(), left_at = null
returning connected_at;

-- name: DrainProvisioner :exec
update provisioners set draining = true where id = $1;

-- Unless it has come again since, to another coordinator.
-- name: LeaveProvisioner :exec
update provisioners set left_at = now() where id = $1 and connected_at = $2;

-- name: TouchProvisioner :exec
update provisioners set last_seen_at = now(), left_at = null where id = $1;

-- name: Provisioners :many
select p.*, coalesce(k.name, '')::text as key_name,
    (select count(*) from jobs j where j.provisioner_id = p.id and j.status = 'running') as running
from provisioners p left join provisioner_keys k on k.id = p.key_id
where p.last_seen_at > now() - interval '7 days'
-- Those built in work for all organizations and belong to none.
and (@everywhere::boolean or k.organization_id = any(@organizations::uuid[]))
and (lower(p.name), p.id) > (@after_name::text, @after_id::uuid)
and (@name::text = '' or strpos(lower(p.name), lower(@name)) > 0)
order by lower(p.name), p.id limit @max;

-- name: KeyOfProvisioner :one
select key_id from provisioners where id = $1;

-- name: Fleet :many
select p.*, k.organization_id,
    (select count(*) from jobs j where j.provisioner_id = p.id and j.status = 'running') as running
from provisioners p left join provisioner_keys k on k.id = p.key_id
where p.last_seen_at > now() - interval '7 days' and k.revoked_at is null;
