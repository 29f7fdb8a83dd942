-- +goose Up

-- Links between clients and agents, by which path their packets take as each end
-- says: an object, or null while it has said nothing. A coordinator writes those
-- of its nodes, some at once, and only when an end says something else.
create table links (
    id        uuid primary key default gen_random_uuid(),
    agent_id  uuid not null references agents on delete cascade,
    client_id uuid not null references nodes on delete cascade,
    by_client jsonb,
    by_agent  jsonb,
    unique (agent_id, client_id)
);
create index links_client on links (client_id);

-- +goose StatementBegin
create function event_of_links() returns trigger
language plpgsql as $$
declare
    r record;
begin
    for r in
        select l.id, a.id as agent_id, a.name as agent, a.workspace_id, w.owner_id, l.client_id, u.username, l.by_client, l.by_agent
        from now_rows l
        join agents a on a.id = l.agent_id
        join workspaces w on w.id = a.workspace_id
        left join nodes n on n.id = l.client_id
        left join users u on u.id = n.user_id
        order by l.id
    loop
        perform event_emit('link', TG_ARGV[0], r.id, r.workspace_id, r.owner_id, jsonb_build_object(
            'agent_id', r.agent_id, 'agent', r.agent, 'client_node_id', r.client_id, 'client', coalesce(r.username, ''),
            'by_client', r.by_client, 'by_agent', r.by_agent));
    end loop;
    return null;
end $$;
-- +goose StatementEnd
create trigger event_made after insert on links
    referencing new table as now_rows for each statement execute function event_of_links('created');
create trigger event_changed after update on links
    referencing new table as now_rows for each statement execute function event_of_links('changed');

-- Links go with their nodes, too, one after the other: what tells of it waits for
-- nothing, and so comes last.
-- +goose StatementBegin
create function event_of_link_gone() returns trigger
language plpgsql as $$
declare
    r record;
begin
    select a.name, a.workspace_id, w.owner_id into r
    from agents a join workspaces w on w.id = a.workspace_id where a.id = old.agent_id;
    if found then
        perform event_emit('link', 'deleted', old.id, r.workspace_id, r.owner_id,
            jsonb_build_object('agent_id', old.agent_id, 'agent', r.name, 'client_node_id', old.client_id));
    end if;
    return null;
end $$;
-- +goose StatementEnd
create constraint trigger event_gone after delete on links deferrable initially deferred
    for each row execute function event_of_link_gone();

-- +goose Down

drop table links;
drop function event_of_links, event_of_link_gone;
