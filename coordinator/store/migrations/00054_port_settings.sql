-- +goose Up

-- What the repositories of a workspace say of ports, as its agent last told.
alter table agent_reports add column port_settings jsonb not null default '[]';

-- What is said of ports is news of them, too.
-- +goose StatementBegin
create or replace function event_of_report() returns trigger
language plpgsql as $$
declare
    r record;
begin
    select a.name, a.workspace_id, w.owner_id into r
    from agents a join workspaces w on w.id = a.workspace_id where a.id = new.agent_id;
    if TG_OP = 'INSERT' and (new.ports, new.port_settings) <> ('[]', '[]')
        or TG_OP = 'UPDATE' and (old.ports, old.port_settings) <> (new.ports, new.port_settings) then
        perform event_emit('ports', 'changed', new.agent_id, r.workspace_id, r.owner_id, jsonb_build_object('agent', r.name, 'ports', new.ports));
    end if;
    if TG_OP = 'INSERT' and new.apps <> '[]' or TG_OP = 'UPDATE' and old.apps <> new.apps then
        perform event_emit('apps', 'changed', new.agent_id, r.workspace_id, r.owner_id, jsonb_build_object('agent', r.name, 'apps', new.apps));
    end if;
    return null;
end $$;
-- +goose StatementEnd

-- +goose Down

-- +goose StatementBegin
create or replace function event_of_report() returns trigger
language plpgsql as $$
declare
    r record;
begin
    select a.name, a.workspace_id, w.owner_id into r
    from agents a join workspaces w on w.id = a.workspace_id where a.id = new.agent_id;
    if TG_OP = 'INSERT' and new.ports <> '[]' or TG_OP = 'UPDATE' and old.ports <> new.ports then
        perform event_emit('ports', 'changed', new.agent_id, r.workspace_id, r.owner_id, jsonb_build_object('agent', r.name, 'ports', new.ports));
    end if;
    if TG_OP = 'INSERT' and new.apps <> '[]' or TG_OP = 'UPDATE' and old.apps <> new.apps then
        perform event_emit('apps', 'changed', new.agent_id, r.workspace_id, r.owner_id, jsonb_build_object('agent', r.name, 'apps', new.apps));
    end if;
    return null;
end $$;
-- +goose StatementEnd

alter table agent_reports drop column port_settings;
