-- name: RecordSSHSessions :exec
insert into ssh_sessions (id, agent_id, agent_name, workspace_id, user_id, user_name, came_from, path, kind, started_at, ended_at, rx_bytes, tx_bytes)
select u.id, a.id, a.name, a.workspace_id, n.id, coalesce(n.username, ''), u.came_from, u.path, u.kind, u.started_at,
    nullif(u.ended_at, 'epoch'::timestamptz), u.rx_bytes, u.tx_bytes
from (
    select unnest(@ids::uuid[]) as id, unnest(@agent_ids::uuid[]) as agent_id, unnest(@user_ids::uuid[]) as user_id,
        unnest(@came_froms::text[]) as came_from, unnest(@paths::text[]) as path, unnest(@kinds::text[]) as kind,
        unnest(@started_ats::timestamptz[]) as started_at, unnest(@ended_ats::timestamptz[]) as ended_at,
        unnest(@rx_bytes::bigint[]) as rx_bytes, unnest(@tx_bytes::bigint[]) as tx_bytes
) u
join agents a on a.id = u.agent_id
left join users n on n.id = u.user_id
-- Who it was is known at first, and an agent speaks of its own sessions alone.
on conflict (id) do update set ended_at = coalesce(ssh_sessions.ended_at, excluded.ended_at),
    rx_bytes = greatest(ssh_sessions.rx_bytes, excluded.rx_bytes), tx_bytes = greatest(ssh_sessions.tx_bytes, excluded.tx_bytes)
where ssh_sessions.agent_id = excluded.agent_id;

-- name: SSHSessions :many
select * from ssh_sessions where workspace_id = @workspace_id and started_at >= @since
order by started_at desc, id limit @most;

-- name: PruneSSHSessions :exec
delete from ssh_sessions where started_at < now() - interval '90 days';
