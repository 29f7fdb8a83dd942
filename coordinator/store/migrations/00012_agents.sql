-- +goose Up

alter table agents
    -- Seconds that it may take to connect once its build is done; zero is for ever.
    add column connection_timeout int not null default 0,
    -- How it comes by its token: it was given it, or it proves which instance of
    -- a cloud it runs on.
    add column auth text not null default 'token' check (auth in
        ('token', 'aws-instance-identity', 'google-instance-identity', 'azure-instance-identity')),
    -- That instance, as its cloud calls it; empty until the build has made it.
    add column instance_id text not null default '';
create index agents_instance on agents (auth, instance_id) where instance_id <> '';
create index agents_awaited on agents (build_id) where state = 'connecting' and connection_timeout > 0;

-- Since when nobody uses a workspace is known from last_active_at: when somebody
-- last did, by the database's clock, and null if nobody has yet. It only grows.
--
-- Use is what people do: input to an SSH session, bytes of a file transfer, and
-- bytes either way through a forwarded port or a VPN. An open session in which
-- nobody types is none, nor are keep-alives, pings and what scripts do. Agents
-- report each minute, so that it may be two minutes behind; and as it changes all
-- the time, workspaces.version does not grow with it, and it is neither an event nor
-- a thing to audit.
alter table workspaces add column last_active_at timestamptz;
drop trigger event_changed on workspaces;
create constraint trigger event_changed after update on workspaces deferrable initially deferred
    for each row when (to_jsonb(old) - '{version,state_held_by,last_active_at}'::text[]
        is distinct from to_jsonb(new) - '{version,state_held_by,last_active_at}'::text[])
    execute function event_of_row('workspace', 'name,owner_id,phase,external');
drop trigger audit on workspaces;
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by,last_active_at', '');

-- What the commands that a template has an agent run have printed last.
create table agent_metadata (
    agent_id uuid not null references agents on delete cascade,
    key      text not null,
    value    text not null,
    error    text not null,
    at       timestamptz not null,
    primary key (agent_id, key)
);

-- One event tells of all values of an agent that are others now: what is measured
-- again and is the same is no news.
-- +goose StatementBegin
create function event_of_metadata() returns trigger
language plpgsql as $$
declare
    r record;
begin
    for r in
        select a.id, a.workspace_id, w.owner_id, jsonb_build_object('agent', a.name,
            'metadata', jsonb_object_agg(n.key, jsonb_build_object('value', n.value, 'error', n.error))) as data
        from now_rows n
        join agents a on a.id = n.agent_id
        join workspaces w on w.id = a.workspace_id
        group by a.id, w.id
        order by a.id
    loop
        perform event_emit('agent_metadata', 'changed', r.id, r.workspace_id, r.owner_id, r.data);
    end loop;
    return null;
end $$;
-- +goose StatementEnd
create trigger event_made after insert on agent_metadata
    referencing new table as now_rows for each statement execute function event_of_metadata();

-- +goose StatementBegin
create function event_of_measured() returns trigger
language plpgsql as $$
declare
    r record;
begin
    for r in
        select a.id, a.workspace_id, w.owner_id, jsonb_build_object('agent', a.name,
            'metadata', jsonb_object_agg(n.key, jsonb_build_object('value', n.value, 'error', n.error))) as data
        from now_rows n
        join was_rows o on o.agent_id = n.agent_id and o.key = n.key and (o.value, o.error) is distinct from (n.value, n.error)
        join agents a on a.id = n.agent_id
        join workspaces w on w.id = a.workspace_id
        group by a.id, w.id
        order by a.id
    loop
        perform event_emit('agent_metadata', 'changed', r.id, r.workspace_id, r.owner_id, r.data);
    end loop;
    return null;
end $$;
-- +goose StatementEnd
create trigger event_changed after update on agent_metadata
    referencing old table as was_rows new table as now_rows for each statement execute function event_of_measured();

-- What agents did and used, a row for each minute, hour and day. Those of minutes
-- are reports, those of hours and days their sums, made anew from all their
-- minutes each time.
create table agent_stats (
    agent_id       uuid not null,
    workspace_id   uuid not null references workspaces on delete cascade,
    resolution     text not null check (resolution in ('minute', 'hour', 'day')),
    -- When a report came, or when the hour or day began, in UTC.
    at             timestamptz not null,
    -- How long a time of it was reported, and how much of that somebody was active.
    seconds        double precision not null,
    active_seconds double precision not null,
    -- The most sessions at once, by kind.
    ssh            int not null,
    sftp           int not null,
    forwards       int not null,
    -- Bytes from people to the workspace, and back.
    rx_bytes       bigint not null,
    tx_bytes       bigint not null,
    -- CPU in cores: on average, at most, and what there is.
    cpu            double precision not null,
    cpu_max        double precision not null,
    cpu_limit      double precision not null,
    -- In bytes; zero where it is not known.
    memory         bigint not null,
    memory_max     bigint not null,
    memory_limit   bigint not null,
    disk           bigint not null,
    disk_limit     bigint not null,
    -- Round trip to people's machines; null with nobody there.
    latency_ms     double precision,
    primary key (agent_id, resolution, at)
);
create index agent_stats_workspace on agent_stats (workspace_id, resolution, at);
create index agent_stats_at on agent_stats (resolution, at);

-- Proofs of identity that were accepted, by their digest, so that none is twice.
create table used_identities (
    digest     bytea primary key,
    expires_at timestamptz not null
);
create index used_identities_expiry on used_identities (expires_at);

-- +goose Down

drop table used_identities, agent_stats, agent_metadata;
drop function event_of_metadata, event_of_measured;
drop trigger event_changed on workspaces;
create constraint trigger event_changed after update on workspaces deferrable initially deferred
    for each row when (to_jsonb(old) - '{version,state_held_by}'::text[] is distinct from to_jsonb(new) - '{version,state_held_by}'::text[])
    execute function event_of_row('workspace', 'name,owner_id,phase,external');
drop trigger audit on workspaces;
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by', '');
alter table workspaces drop column last_active_at;
alter table agents drop column connection_timeout, drop column auth, drop column instance_id;
