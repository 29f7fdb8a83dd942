-- name: RecordLinks :exec
insert into links (agent_id, client_id, by_client, by_agent)
select a.id, n.id, u.by_client, u.by_agent
from (
    select unnest(@agent_ids::uuid[]) as agent_id, unnest(@client_ids::uuid[]) as client_id,
        unnest(@by_clients::jsonb[]) as by_client, unnest(@by_agents::jsonb[]) as by_agent
) u
join agents a on a.id = u.agent_id
join nodes n on n.id = u.client_id
order by a.id, n.id
on conflict (agent_id, client_id) do update set
    by_client = coalesce(excluded.by_client, links.by_client), by_agent = coalesce(excluded.by_agent, links.by_agent)
where (coalesce(excluded.by_client, links.by_client), coalesce(excluded.by_agent, links.by_agent)) is distinct from (links.by_client, links.by_agent);

-- name: DropLinks :exec
delete from links l using (select unnest(@agent_ids::uuid[]) as agent_id, unnest(@client_ids::uuid[]) as client_id) u
where l.agent_id = u.agent_id and l.client_id = u.client_id;
