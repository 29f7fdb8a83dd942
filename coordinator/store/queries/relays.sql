-- name: InsertRelayRegion :exec
insert into relay_regions (id, code, name)
select coalesce(max(id), 900) + 1, @code, @name from relay_regions
on conflict (code) do nothing;

-- name: PlaceRelayRegion :exec
update relay_regions set latitude = @latitude, longitude = @longitude where code = @code;

-- name: InsertRelay :one
insert into relays (name, region_id, secret_hash, created_by)
select @name, r.id, @secret_hash, sqlc.narg(created_by) from relay_regions r where r.code = @region
returning id;

-- name: LiveRelay :one
select sqlc.embed(relays), sqlc.embed(relay_regions) from relays join relay_regions on relay_regions.id = relays.region_id
where relays.id = $1 and relays.revoked_at is null;

-- name: LiveRelays :many
select sqlc.embed(relays), sqlc.embed(relay_regions) from relays join relay_regions on relay_regions.id = relays.region_id
where relays.revoked_at is null order by relay_regions.code, lower(relays.name);

-- name: RevokeRelay :one
update relays set revoked_at = now(), connected = false where lower(name) = lower(@name) and revoked_at is null returning id, region_id;

-- name: RenewMeshKey :one
update relay_regions set mesh_key = default where id = $1 returning mesh_key;

-- name: ConnectRelay :exec
update relays set version = @version, url = @url, stun_ports = @stun_ports, cert_name = @cert_name, public_key = @public_key,
    connected = true, connected_at = now(), last_seen_at = now()
where id = @id;

-- name: DisconnectRelay :exec
update relays set connected = false, last_seen_at = now() where id = $1;

-- name: LockRelayRegions :exec
lock table relay_regions in share row exclusive mode;
