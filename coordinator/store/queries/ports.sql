-- name: PortVisibilities :many
select agent, port, visibility from port_visibility where workspace_id = @workspace_id;

-- name: SetPortVisibility :execrows
insert into port_visibility (workspace_id, agent, port, visibility, created_by)
select @workspace_id, @agent, @port, @visibility, @created_by
where (select count(*) from port_visibility p where p.workspace_id = @workspace_id) < @max::int
on conflict (workspace_id, agent, port) do update set visibility = excluded.visibility, created_by = excluded.created_by;

-- name: ResetPortVisibility :execrows
delete from port_visibility where workspace_id = @workspace_id and agent = @agent and port = @port;
