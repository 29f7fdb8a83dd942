-- +goose Up

-- Who may open a port in a browser, where somebody has said otherwise than the
-- template: by the agent's name, for agents are others with each build.
create table port_visibility (
    id           uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references workspaces on delete cascade,
    agent        text not null,
    port         int not null check (port between 1 and 65535),
    visibility   text not null check (visibility in ('owner', 'authenticated', 'public')),
    created_by   uuid not null references users,
    created_at   timestamptz not null default now(),
    unique (workspace_id, agent, port)
);

-- It is news of the ports, and changes who is let in: what may not be open any more ends.
-- +goose StatementBegin
create function event_of_port_visibility() returns trigger
language plpgsql as $$
declare
    r port_visibility := case when TG_OP = 'DELETE' then old else new end;
    a record;
begin
    perform event_emit('share', 'changed', r.id, r.workspace_id, (select w.owner_id from workspaces w where w.id = r.workspace_id),
        jsonb_build_object('agent', r.agent, 'port', r.port, 'visibility', case when TG_OP = 'DELETE' then null else r.visibility end));
    for a in select g.id, g.name, w.owner_id, coalesce(s.ports, '[]') as ports from agents g
        join workspaces w on w.id = g.workspace_id left join agent_reports s on s.agent_id = g.id
        where g.workspace_id = r.workspace_id and g.name = r.agent loop
        perform event_emit('ports', 'changed', a.id, r.workspace_id, a.owner_id, jsonb_build_object('agent', a.name, 'ports', a.ports));
    end loop;
    return null;
end $$;
-- +goose StatementEnd
create constraint trigger event_made after insert or update or delete on port_visibility deferrable initially deferred
    for each row execute function event_of_port_visibility();
create trigger audit after insert or update or delete on port_visibility
    for each row execute function audit_of_row('port', '', '');

-- +goose Down

drop table port_visibility;
drop function event_of_port_visibility;
