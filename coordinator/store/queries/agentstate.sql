-- name: RecordAgentReports :exec
insert into agent_reports (agent_id, ports, apps, directory)
select a.id, u.ports::jsonb, u.apps::jsonb, u.directory
from (
    select unnest(@agent_ids::uuid[]) as agent_id, unnest(@ports::text[]) as ports, unnest(@apps::text[]) as apps,
        unnest(@directories::text[]) as directory
) u
join agents a on a.id = u.agent_id
on conflict (agent_id) do update set ports = excluded.ports, apps = excluded.apps, directory = excluded.directory
where (agent_reports.ports, agent_reports.apps, agent_reports.directory) is distinct from (excluded.ports, excluded.apps, excluded.directory);

-- name: AgentReports :many
select r.* from agent_reports r join agents a on a.id = r.agent_id
where r.agent_id = any(@agent_ids::uuid[]) and a.state = 'connected';
