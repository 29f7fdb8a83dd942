-- +goose Up

-- Whom a workspace's owner lets in, by name or by group. It holds for members
-- of the workspace's organization, for as long as they are.
create table workspace_shares (
    id           uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references workspaces on delete cascade,
    user_id      uuid references users on delete cascade,
    group_id     uuid references groups on delete cascade,
    level        text not null check (level in ('apps', 'connect', 'admin')),
    created_by   uuid not null references users,
    created_at   timestamptz not null default now(),
    check ((user_id is null) <> (group_id is null)),
    unique (workspace_id, user_id),
    unique (workspace_id, group_id)
);
create index workspace_shares_user on workspace_shares (user_id);
create index workspace_shares_group on workspace_shares (group_id);

-- Access that changes is told, so that every coordinator ends the links that
-- it has no more: a share's event is its workspace's, a membership's its user's.
-- +goose StatementBegin
create function event_of_share() returns trigger
language plpgsql as $$
declare
    r workspace_shares := case when TG_OP = 'DELETE' then old else new end;
begin
    perform event_emit('share', case TG_OP when 'INSERT' then 'created' when 'UPDATE' then 'changed' else 'deleted' end,
        r.id, r.workspace_id, (select w.owner_id from workspaces w where w.id = r.workspace_id),
        jsonb_build_object('user_id', r.user_id, 'group_id', r.group_id, 'level', r.level));
    return null;
end $$;
create function event_of_membership() returns trigger
language plpgsql as $$
declare
    r jsonb := case when TG_OP = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
begin
    perform event_emit('membership', case TG_OP when 'INSERT' then 'created' when 'UPDATE' then 'changed' else 'deleted' end,
        (r->>'user_id')::uuid, null, (r->>'user_id')::uuid,
        jsonb_build_object('organization_id', r->'organization_id', 'group_id', r->'group_id', 'role', r->'role'));
    return null;
end $$;
-- +goose StatementEnd
create constraint trigger event_made after insert or update or delete on workspace_shares deferrable initially deferred
    for each row execute function event_of_share();
create constraint trigger event_made after insert or delete on group_members deferrable initially deferred
    for each row execute function event_of_membership();
create constraint trigger event_made after insert or delete on organization_members deferrable initially deferred
    for each row execute function event_of_membership();
create constraint trigger event_changed after update on organization_members deferrable initially deferred
    for each row when (old.role is distinct from new.role) execute function event_of_membership();

create trigger audit after insert or update or delete on workspace_shares
    for each row execute function audit_of_row('share', '', '');

-- +goose Down

drop trigger event_made on group_members;
drop trigger event_made on organization_members;
drop trigger event_changed on organization_members;
drop table workspace_shares;
drop function event_of_share, event_of_membership;
