-- name: JobsByStatus :many
select status, count(*) as jobs, min(created_at)::timestamptz as oldest from jobs where status in ('queued', 'running') group by status;

-- name: QueuedByTags :many
select j.tags, count(*) as jobs, min(j.created_at)::timestamptz as oldest,
    exists (select 1 from provisioners p where p.last_seen_at > now() - interval '1 minute' and p.left_at is null and j.tags <@ p.tags) as served
from jobs j where j.status = 'queued'
group by j.tags order by min(j.created_at) limit 20;

-- name: AgentsByState :many
select a.state, count(*) as agents
from agents a join workspaces w on w.id = a.workspace_id
where w.deleted_at is null and w.phase = 'running'
group by a.state;

-- name: LostAgents :many
select u.username as owner, w.name as workspace, a.name as agent, a.disconnected_at
from agents a join workspaces w on w.id = a.workspace_id join users u on u.id = w.owner_id
where w.deleted_at is null and w.phase = 'running' and a.state = 'timeout'
order by a.disconnected_at desc limit 5;
