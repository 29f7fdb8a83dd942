-- name: AgentsOfInstance :many
select a.id, a.name, a.workspace_id, b.agent_secret
from agents a
join workspaces w on w.id = a.workspace_id
join builds b on b.id = a.build_id
-- An agent that is locked out, by a build that stops its workspace, has no token.
where a.auth = @auth and a.instance_id = @instance_id and w.deleted_at is null and a.token_hash <> ''
limit 2;

-- name: UseIdentity :execrows
insert into used_identities (digest, expires_at) values (@digest, @expires_at)
on conflict (digest) do nothing;

-- name: PruneIdentities :exec
delete from used_identities where expires_at < now();

-- name: SetAgentInstance :exec
update agents set instance_id = @instance_id where id = @id and build_id = @build_id;
