-- name: RecordStats :exec
with reported as (
    select a.workspace_id, u.*
    from (
        select unnest(@agent_ids::uuid[]) as agent_id, unnest(@seconds::float8[]) as seconds, unnest(@active_seconds::float8[]) as active_seconds,
            unnest(@sshs::int[]) as ssh, unnest(@sftps::int[]) as sftp, unnest(@forwards::int[]) as forwards,
            unnest(@rx_bytes::bigint[]) as rx_bytes, unnest(@tx_bytes::bigint[]) as tx_bytes,
            unnest(@cpus::float8[]) as cpu, unnest(@cpu_limits::float8[]) as cpu_limit,
            unnest(@memories::bigint[]) as memory, unnest(@memory_limits::bigint[]) as memory_limit,
            unnest(@disks::bigint[]) as disk, unnest(@disk_limits::bigint[]) as disk_limit,
            unnest(@latencies::float8[]) as latency_ms
    ) u
    join agents a on a.id = u.agent_id
), kept as (
    insert into agent_stats (agent_id, workspace_id, resolution, at, seconds, active_seconds, ssh, sftp, forwards,
        rx_bytes, tx_bytes, cpu, cpu_max, cpu_limit, memory, memory_max, memory_limit, disk, disk_limit, latency_ms)
    select agent_id, workspace_id, 'minute', now(), seconds, active_seconds, ssh, sftp, forwards,
        rx_bytes, tx_bytes, cpu, cpu, cpu_limit, memory, memory, memory_limit, disk, disk_limit, nullif(latency_ms, 0)
    from reported
)
update workspaces w set last_active_at = greatest(w.last_active_at, now())
where w.id in (select workspace_id from reported where active_seconds > 0);

-- name: StatsOfWorkspace :many
select s.*, coalesce(a.name, '')::text as agent_name
from agent_stats s left join agents a on a.id = s.agent_id
where s.workspace_id = @workspace_id and s.resolution = @resolution and s.at >= @since
order by s.at desc, agent_name limit @most;

-- name: LockStats :one
select pg_try_advisory_xact_lock(@key);

-- name: RollUpHours :exec
insert into agent_stats (agent_id, workspace_id, resolution, at, seconds, active_seconds, ssh, sftp, forwards,
    rx_bytes, tx_bytes, cpu, cpu_max, cpu_limit, memory, memory_max, memory_limit, disk, disk_limit, latency_ms)
select agent_id, workspace_id, 'hour', date_trunc('hour', at, 'UTC'), sum(seconds), sum(active_seconds), max(ssh), max(sftp), max(forwards),
    sum(rx_bytes)::bigint, sum(tx_bytes)::bigint, coalesce(sum(cpu * seconds) / nullif(sum(seconds), 0), 0), max(cpu_max), max(cpu_limit),
    avg(memory)::bigint, max(memory_max), max(memory_limit), max(disk), max(disk_limit), avg(latency_ms)
from agent_stats where resolution = 'minute'
group by agent_id, workspace_id, date_trunc('hour', at, 'UTC')
on conflict (agent_id, resolution, at) do update set
    seconds = excluded.seconds, active_seconds = excluded.active_seconds,
    ssh = excluded.ssh, sftp = excluded.sftp, forwards = excluded.forwards,
    rx_bytes = excluded.rx_bytes, tx_bytes = excluded.tx_bytes,
    cpu = excluded.cpu, cpu_max = excluded.cpu_max, cpu_limit = excluded.cpu_limit,
    memory = excluded.memory, memory_max = excluded.memory_max, memory_limit = excluded.memory_limit,
    disk = excluded.disk, disk_limit = excluded.disk_limit, latency_ms = excluded.latency_ms;

-- name: RollUpDays :exec
insert into agent_stats (agent_id, workspace_id, resolution, at, seconds, active_seconds, ssh, sftp, forwards,
    rx_bytes, tx_bytes, cpu, cpu_max, cpu_limit, memory, memory_max, memory_limit, disk, disk_limit, latency_ms)
select agent_id, workspace_id, 'day', date_trunc('day', at, 'UTC'), sum(seconds), sum(active_seconds), max(ssh), max(sftp), max(forwards),
    sum(rx_bytes)::bigint, sum(tx_bytes)::bigint, coalesce(sum(cpu * seconds) / nullif(sum(seconds), 0), 0), max(cpu_max), max(cpu_limit),
    avg(memory)::bigint, max(memory_max), max(memory_limit), max(disk), max(disk_limit), avg(latency_ms)
from agent_stats
where resolution = 'hour' and at >= date_trunc('day', (select min(m.at) from agent_stats m where m.resolution = 'minute'), 'UTC')
group by agent_id, workspace_id, date_trunc('day', at, 'UTC')
on conflict (agent_id, resolution, at) do update set
    seconds = excluded.seconds, active_seconds = excluded.active_seconds,
    ssh = excluded.ssh, sftp = excluded.sftp, forwards = excluded.forwards,
    rx_bytes = excluded.rx_bytes, tx_bytes = excluded.tx_bytes,
    cpu = excluded.cpu, cpu_max = excluded.cpu_max, cpu_limit = excluded.cpu_limit,
    memory = excluded.memory, memory_max = excluded.memory_max, memory_limit = excluded.memory_limit,
    disk = excluded.disk, disk_limit = excluded.disk_limit, latency_ms = excluded.latency_ms;

-- Whole hours and days go at once, so that what is left of one is never taken for
-- all of it.
-- name: PruneStats :exec
delete from agent_stats
where resolution = 'minute' and at < date_trunc('hour', now(), 'UTC') - interval '1 hour'
    or resolution = 'hour' and at < date_trunc('day', now(), 'UTC') - interval '14 days'
    or resolution = 'day' and at < now() - interval '400 days';
