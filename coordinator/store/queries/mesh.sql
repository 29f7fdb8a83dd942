-- name: UpsertAgentNode :one
insert into nodes (id, user_id, agent_id, address, public_key, disco_key)
values (@id, @user_id, @id, @address, @public_key, @disco_key)
on conflict (id) do update
set public_key = excluded.public_key, disco_key = excluded.disco_key, last_seen_at = now()
returning *;

-- name: SetAgentVersion :exec
update agents set version = $2 where id = $1 and version <> $2;

-- name: InsertClientNode :one
insert into nodes (id, user_id, address, public_key, disco_key, resume_hash)
values ($1, $2, $3, $4, $5, $6)
returning *;

-- name: ClientNode :one
select * from nodes where id = $1 and user_id = $2 and agent_id is null for update;

-- name: ResumeClientNode :one
update nodes set public_key = $2, disco_key = $3, last_seen_at = now()
where id = $1
returning *;

-- name: ReclaimClientNode :one
update nodes set resume_hash = @resume_hash, last_seen_at = now()
where user_id = @user_id and agent_id is null and public_key = @public_key and disco_key = @disco_key
returning *;

-- name: DeleteClientNode :exec
delete from nodes where id = $1 and agent_id is null;

-- name: DeleteStaleClientNodes :execrows
delete from nodes where agent_id is null and last_seen_at < @before
and not (id = any(@keep::uuid[]));

-- name: NodeKeyKnown :one
select exists (
    select 1 from nodes n
    left join agents a on a.id = n.agent_id
    left join workspaces w on w.id = a.workspace_id
    where n.public_key = $1 and (n.agent_id is null or w.deleted_at is null)
);

-- name: ConnectedAgents :many
select id from agents where state = 'connected';

-- name: RecordLiveness :exec
update agents a set
    state = u.state,
    first_connected_at = case when u.state = 'connected' then coalesce(a.first_connected_at, u.at) else a.first_connected_at end,
    last_connected_at  = case when u.state = 'connected' then greatest(a.last_connected_at, u.at) else a.last_connected_at end,
    disconnected_at    = case when u.state = 'connected' then null else u.at end
from (
    select unnest(@ids::uuid[]) as id, unnest(@states::text[]) as state, unnest(@ats::timestamptz[]) as at
) u
where a.id = u.id;

-- name: GiveUpOnAgents :many
update agents a set state = 'timeout', disconnected_at = now()
from builds b
where b.id = a.build_id and a.state = 'connecting' and a.connection_timeout > 0
and b.transition = 'start' and b.finished_at + make_interval(secs => a.connection_timeout) < now()
returning a.id;
