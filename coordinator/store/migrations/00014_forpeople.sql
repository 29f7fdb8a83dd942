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

-- What a template says of its workspaces. Times are in seconds; zero is never,
-- for ever, or no limit.
alter table templates
    add column default_ttl int not null default 0,
    -- However much it is used.
    add column max_ttl int not null default 0,
    -- How long use puts the stop off.
    add column activity_bump int not null default 3600,
    add column autostart boolean not null default true,
    add column dormant_after int not null default 0,
    add column delete_after int not null default 0,
    add column cost int not null default 0;

alter table workspaces
    -- "mon-fri 08:30 Europe/Berlin"; empty is never. Times before it was set are
    -- none of it.
    add column autostart text not null default '',
    add column autostart_set_at timestamptz not null default now(),
    -- Seconds; null is what the template says.
    add column ttl int,
    add column extended_until timestamptz,
    -- When a person last made, started or woke it.
    add column used_at timestamptz not null default now(),
    add column dormant_at timestamptz,
    -- Why what was due could not be done.
    add column upkeep_problem text not null default '';

-- That it is used is neither news nor anybody's doing.
drop trigger event_changed on workspaces;
create constraint trigger event_changed after update on workspaces deferrable initially deferred
    for each row when (to_jsonb(old) - '{version,state_held_by,last_active_at,used_at}'::text[]
        is distinct from to_jsonb(new) - '{version,state_held_by,last_active_at,used_at}'::text[])
    execute function event_of_row('workspace', 'name,owner_id,phase,external');
drop trigger audit on workspaces;
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by,last_active_at,used_at,upkeep_problem', '');

-- What decides on the starts and stops that nobody asks for.
create view workspace_upkeep as
select w.id, w.owner_id, w.template_id, w.phase, (w.state_held_by is not null)::boolean as held, w.autostart, w.autostart_set_at, w.ttl,
    w.extended_until, w.used_at, w.last_active_at, w.dormant_at, w.upkeep_problem,
    b.transition, b.created_at as built_at, b.finished_at, b.template_version_id,
    t.default_ttl, t.max_ttl, t.activity_bump, t.autostart as may_autostart, t.dormant_after, t.delete_after, t.cost
from workspaces w
join templates t on t.id = w.template_id
join builds b on b.workspace_id = w.id and b.number = (select max(l.number) from builds l where l.workspace_id = w.id)
where w.deleted_at is null;

-- How much the workspaces of a user may cost together, by their templates. What is
-- a user's own comes before what is their groups', of which the largest counts;
-- with neither there is no limit.
create table quotas (
    id       uuid primary key default gen_random_uuid(),
    user_id  uuid unique references users on delete cascade,
    group_id uuid unique references groups on delete cascade,
    budget   int not null check (budget >= 0),
    check ((user_id is null) <> (group_id is null))
);
create trigger audit after insert or update or delete on quotas
    for each row execute function audit_of_row('quota', '', '');

create table favourites (
    user_id      uuid not null references users on delete cascade,
    workspace_id uuid not null references workspaces on delete cascade,
    primary key (user_id, workspace_id)
);

-- A workspace that somebody may make theirs.
create table workspace_offers (
    id         uuid primary key references workspaces on delete cascade,
    user_id    uuid not null references users on delete cascade,
    offered_by uuid not null references users,
    created_at timestamptz not null default now()
);
create index workspace_offers_user on workspace_offers (user_id);
create trigger audit after insert or update or delete on workspace_offers
    for each row execute function audit_of_row('offer', '', '');

-- +goose Down

drop table workspace_offers;
drop table favourites, quotas;
drop view workspace_upkeep;
drop trigger event_changed on workspaces;
drop trigger audit on workspaces;
alter table workspaces drop column autostart, drop column autostart_set_at, drop column ttl, drop column extended_until,
    drop column used_at, drop column dormant_at, drop column upkeep_problem;
alter table templates drop column default_ttl, drop column max_ttl, drop column activity_bump, drop column autostart,
    drop column dormant_after, drop column delete_after, drop column cost;
create constraint trigger event_changed after update on workspaces deferrable initially deferred
    for each row when (to_jsonb(old) - '{version,state_held_by,last_active_at}'::text[]
        is distinct from to_jsonb(new) - '{version,state_held_by,last_active_at}'::text[])
    execute function event_of_row('workspace', 'name,owner_id,phase,external');
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by,last_active_at', '');
drop trigger event_made on group_members;
drop trigger event_made on organization_members;
drop trigger event_changed on organization_members;
drop table workspace_shares;
drop function event_of_share, event_of_membership;
