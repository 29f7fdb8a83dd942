-- name: RecordMetadata :exec
insert into agent_metadata (agent_id, key, value, error, at)
select a.id, u.key, u.value, u.error, u.at
from (
    select unnest(@agent_ids::uuid[]) as agent_id, unnest(@keys::text[]) as key, unnest(@values::text[]) as value,
        unnest(@errors::text[]) as error, unnest(@ats::timestamptz[]) as at
) u
join agents a on a.id = u.agent_id
-- What the template does not ask for is not kept: else an agent could fill the disk.
where a.manifest -> 'metadata' @> jsonb_build_array(jsonb_build_object('key', u.key))
on conflict (agent_id, key) do update set value = excluded.value, error = excluded.error, at = excluded.at
where agent_metadata.at <= excluded.at;

-- name: MetadataOfAgents :many
select * from agent_metadata where agent_id = any(@agent_ids::uuid[]);
