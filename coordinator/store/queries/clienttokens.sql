-- name: InsertClientToken :one
-- The agent's oldest go beyond those to keep, whether they have expired or not.
with gone as (
    delete from client_tokens t where t.id in (
        select o.id from client_tokens o where o.agent_id = @agent_id order by o.expires_at desc offset @keep
    )
)
insert into client_tokens (agent_id, agent_hash, secret_hash, expires_at)
select a.id, a.token_hash, @secret_hash, now() + make_interval(secs => @seconds)
from agents a
join workspaces w on w.id = a.workspace_id
where a.id = @agent_id and w.deleted_at is null
returning id;

-- name: LiveClientToken :one
select t.agent_id, t.agent_hash, t.secret_hash, extract(epoch from t.expires_at - now())::float8 as seconds_left, w.owner_id
from client_tokens t
join agents a on a.id = t.agent_id
join workspaces w on w.id = a.workspace_id
where t.id = $1 and t.expires_at > now() and a.token_hash = t.agent_hash and w.deleted_at is null;
