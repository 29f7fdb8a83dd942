-- name: JoinAgent :one
-- One statement, for they come by the thousand. An agent that comes back with
-- the keys it had writes nothing.
with live as (
    select a.id, a.name, a.version, a.workspace_id, w.owner_id, w.name as workspace_name, u.username as owner_name
    from agents a
    join workspaces w on w.id = a.workspace_id
    join users u on u.id = w.owner_id
    where a.id = @id and w.deleted_at is null
), joined as (
    insert into nodes (id, user_id, agent_id, address, public_key, disco_key)
    select live.id, live.owner_id, live.id, @address, @public_key, @disco_key from live
    where not exists (
        select 1 from nodes n
        where n.id = live.id and n.user_id = live.owner_id and n.public_key = @public_key and n.disco_key = @disco_key
    )
    on conflict (id) do update
    set user_id = excluded.user_id, public_key = excluded.public_key, disco_key = excluded.disco_key, last_seen_at = now()
), versioned as (
    update agents set version = @version from live where agents.id = live.id and live.version <> @version
)
select id, name, workspace_id, owner_id, workspace_name, owner_name from live;

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
