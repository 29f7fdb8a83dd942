-- +goose Up

-- How things are in a workspace, as its agent last told: the ports on which something
-- listens, and how applications are doing. It is good while the agent is connected.
create table agent_reports (
    agent_id  uuid primary key references agents on delete cascade,
    ports     jsonb not null,
    apps      jsonb not null,
    -- Where sessions begin.
    directory text not null
);

-- Ports and applications are told of apart: who waits for one does not care for the
-- other. Nothing is no news of an agent that has told of nothing before.
-- +goose StatementBegin
create function event_of_report() returns trigger
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
create constraint trigger event_made after insert or update on agent_reports deferrable initially deferred
    for each row execute function event_of_report();

-- +goose Down

drop table agent_reports;
drop function event_of_report;
