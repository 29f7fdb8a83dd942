-- name: RecordAgentReports :exec
insert into agent_reports (agent_id, ports, apps, directory, port_settings)
select a.id, u.ports::jsonb, u.apps::jsonb, u.directory, u.port_settings::jsonb
from (
    select unnest(@agent_ids::uuid[]) as agent_id, unnest(@ports::text[]) as ports, unnest(@apps::text[]) as apps,
        unnest(@directories::text[]) as directory, unnest(@port_settings::text[]) as port_settings
) u
join agents a on a.id = u.agent_id
on conflict (agent_id) do update set
    ports = excluded.ports, apps = excluded.apps, directory = excluded.directory, port_settings = excluded.port_settings
where (agent_reports.ports, agent_reports.apps, agent_reports.directory, agent_reports.port_settings)
    is distinct from (excluded.ports, excluded.apps, excluded.directory, excluded.port_settings);

-- name: AgentReports :many
select r.* from agent_reports r join agents a on a.id = r.agent_id
where r.agent_id = any(@agent_ids::uuid[]) and a.state = 'connected';
