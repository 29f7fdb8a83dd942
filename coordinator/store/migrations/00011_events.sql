-- +goose Up

-- What changed, in the order in which it was committed: whoever has seen a
-- version has seen all below it. Triggers write it at the end of the change's
-- own transaction, so that no change can go without. Old ones are pruned, the
-- newest never.
create table events (
    version      bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    kind         text not null,
    action       text not null check (action in ('created', 'changed', 'deleted')),
    subject_id   uuid not null,
    workspace_id uuid,
    owner_id     uuid,
    data         jsonb not null
);
create index events_at on events (at);

-- The lock is held until the commit is visible, and nothing is waited for after
-- it is had: that makes the order, and no deadlock.
-- +goose StatementBegin
create function event_emit(kind text, action text, subject uuid, workspace uuid, owner uuid, data jsonb) returns void
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(1633968500);
    insert into events (kind, action, subject_id, workspace_id, owner_id, data)
    values (kind, action, subject, workspace, owner, data);
    perform pg_notify('adit_events', '');
end $$;
-- +goose StatementEnd

-- event_of_row(kind, columns) tells of a row, with those columns as data. One
-- that gets a deleted_at or revoked_at is gone.
-- +goose StatementBegin
create function event_of_row() returns trigger
language plpgsql as $$
declare
    was jsonb := case when TG_OP = 'INSERT' then null else to_jsonb(old) end;
    r jsonb := case when TG_OP = 'DELETE' then was else to_jsonb(new) end;
    kind text := TG_ARGV[0];
    action text := 'changed';
    subject uuid := (r->>'id')::uuid;
    workspace uuid := (r->>'workspace_id')::uuid;
    owner uuid := coalesce(r->>'owner_id', r->>'user_id')::uuid;
    data jsonb;
begin
    if TG_OP = 'INSERT' then
        action := 'created';
    elsif TG_OP = 'DELETE' or coalesce(r->>'deleted_at', r->>'revoked_at') is not null and coalesce(was->>'deleted_at', was->>'revoked_at') is null then
        action := 'deleted';
    end if;
    if kind = 'workspace' then
        workspace := subject;
    elsif kind = 'user' then
        owner := subject;
    elsif kind = 'node' and r->>'agent_id' is not null then
        select a.workspace_id into workspace from agents a where a.id = (r->>'agent_id')::uuid;
    end if;
    if owner is null and workspace is not null then
        select w.owner_id into owner from workspaces w where w.id = workspace;
    end if;
    select coalesce(jsonb_object_agg(e.key, e.value), '{}') into data
    from jsonb_each(r) e where e.key = any(string_to_array(TG_ARGV[1], ','));
    -- For whom it was theirs, it is gone.
    if action = 'changed' and was->>'owner_id' <> r->>'owner_id' then
        perform event_emit(kind, 'deleted', subject, workspace, (was->>'owner_id')::uuid, data);
    end if;
    perform event_emit(kind, action, subject, workspace, owner, data);
    return null;
end $$;
-- +goose StatementEnd

-- A job's event is its build's or its template version's.
-- +goose StatementBegin
create function event_of_job() returns trigger
language plpgsql as $$
declare
    action text := case TG_OP when 'INSERT' then 'created' else 'changed' end;
    job jsonb := jsonb_build_object('job_id', new.id, 'status', new.status, 'error', new.error,
        'canceling', new.cancel_requested_at is not null and new.finished_at is null);
    r record;
begin
    if new.build_id is not null then
        select b.number, b.transition, b.workspace_id, w.owner_id, w.name into r
        from builds b join workspaces w on w.id = b.workspace_id where b.id = new.build_id;
        perform event_emit('build', action, new.build_id, r.workspace_id, r.owner_id,
            job || jsonb_build_object('number', r.number, 'transition', r.transition, 'workspace', r.name));
    else
        select v.number, t.name, t.id as template_id into r
        from template_versions v join templates t on t.id = v.template_id where v.id = new.template_version_id;
        perform event_emit('template_version', action, new.template_version_id, null, null,
            job || jsonb_build_object('number', r.number, 'template', r.name, 'template_id', r.template_id));
    end if;
    return null;
end $$;
-- +goose StatementEnd

create constraint trigger event_made after insert or delete on workspaces deferrable initially deferred
    for each row execute function event_of_row('workspace', 'name,owner_id,phase,external');
create constraint trigger event_changed after update on workspaces deferrable initially deferred
    for each row when (to_jsonb(old) - '{version,state_held_by}'::text[] is distinct from to_jsonb(new) - '{version,state_held_by}'::text[])
    execute function event_of_row('workspace', 'name,owner_id,phase,external');

create constraint trigger event_made after insert on jobs deferrable initially deferred
    for each row execute function event_of_job();
create constraint trigger event_changed after update on jobs deferrable initially deferred
    for each row when ((old.status, old.attempt, old.error, old.began_at, old.cancel_requested_at, old.cancel_forced_at)
        is distinct from (new.status, new.attempt, new.error, new.began_at, new.cancel_requested_at, new.cancel_forced_at))
    execute function event_of_job();

create constraint trigger event_made after insert or delete on agents deferrable initially deferred
    for each row execute function event_of_row('agent', 'name,state,scripts_state,version');
create constraint trigger event_changed after update on agents deferrable initially deferred
    for each row when ((old.name, old.state, old.scripts_state, old.version, old.build_id)
        is distinct from (new.name, new.state, new.scripts_state, new.version, new.build_id))
    execute function event_of_row('agent', 'name,state,scripts_state,version');

create constraint trigger event_made after insert or delete on nodes deferrable initially deferred
    for each row execute function event_of_row('node', 'agent_id,user_id,address');
create constraint trigger event_changed after update on nodes deferrable initially deferred
    for each row when (old.public_key is distinct from new.public_key)
    execute function event_of_row('node', 'agent_id,user_id,address');

create constraint trigger event_made after insert or delete on templates deferrable initially deferred
    for each row execute function event_of_row('template', 'name,active_version_id');
create constraint trigger event_changed after update on templates deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('template', 'name,active_version_id');

create constraint trigger event_made after insert or delete on users deferrable initially deferred
    for each row execute function event_of_row('user', 'username,role');
create constraint trigger event_changed after update on users deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('user', 'username,role');

create constraint trigger event_made after insert or delete on api_tokens deferrable initially deferred
    for each row execute function event_of_row('token', 'name,user_id');
create constraint trigger event_changed after update on api_tokens deferrable initially deferred
    for each row when ((old.name, old.expires_at, old.revoked_at) is distinct from (new.name, new.expires_at, new.revoked_at))
    execute function event_of_row('token', 'name,user_id');

create constraint trigger event_made after insert or delete on provisioner_keys deferrable initially deferred
    for each row execute function event_of_row('provisioner_key', 'name');
create constraint trigger event_changed after update on provisioner_keys deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('provisioner_key', 'name');

-- Who did what, written with what was done and never again.
create table audit_log (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    actor_kind  text not null,
    actor_id    uuid,
    actor_name  text not null,
    token_id    uuid,
    remote      text not null,
    request_id  text not null,
    action      text not null,
    outcome     text not null check (outcome in ('done', 'refused')),
    object_id   uuid,
    object_name text not null,
    before      jsonb,
    after       jsonb
);
create index audit_log_object on audit_log (object_id);
create index audit_log_actor on audit_log (actor_id);

-- Who acts is a setting of the connection, which the coordinator makes; without
-- it the coordinator acts of itself.
-- +goose StatementBegin
create function audit_write(action text, outcome text, object_id uuid, object_name text, before jsonb, after jsonb) returns void
language plpgsql as $$
declare
    who jsonb := coalesce(nullif(current_setting('adit.actor', true), ''), '{"kind": "system"}')::jsonb;
    actor uuid := (who->>'user_id')::uuid;
begin
    insert into audit_log (actor_kind, actor_id, actor_name, token_id, remote, request_id, action, outcome, object_id, object_name, before, after)
    values (who->>'kind', actor, coalesce((select u.username from users u where u.id = actor), ''), (who->>'token_id')::uuid,
        coalesce(who->>'remote', ''), coalesce(who->>'request_id', ''), action, outcome, object_id, object_name, before, after);
end $$;
-- +goose StatementEnd

-- audit_of_row(kind, noise, secrets) notes a change of a row. Columns that are
-- noise are left out, and a change of nothing else is none. Of secrets is said
-- only that they are there, and that they changed.
-- +goose StatementBegin
create function audit_of_row() returns trigger
language plpgsql as $$
declare
    noise text[] := string_to_array(TG_ARGV[1], ',');
    was jsonb := case when TG_OP = 'INSERT' then null else to_jsonb(old) - noise end;
    r jsonb := case when TG_OP = 'DELETE' then null else to_jsonb(new) - noise end;
    verb text := 'changed';
    secret text;
    changed boolean;
begin
    if was is not distinct from r then
        return null;
    end if;
    if TG_OP = 'INSERT' then
        verb := 'created';
    elsif TG_OP = 'DELETE' or coalesce(r->>'deleted_at', r->>'revoked_at') is not null and coalesce(was->>'deleted_at', was->>'revoked_at') is null then
        verb := 'deleted';
    end if;
    foreach secret in array string_to_array(TG_ARGV[2], ',') loop
        changed := TG_OP = 'UPDATE' and was->secret is distinct from r->secret;
        if was ? secret then
            was := jsonb_set(was, array[secret], '"hidden"');
        end if;
        if r ? secret then
            r := jsonb_set(r, array[secret], case when changed then '"hidden, changed"'::jsonb else '"hidden"' end);
        end if;
    end loop;
    perform audit_write(TG_ARGV[0] || '.' || verb, 'done', (coalesce(r, was)->>'id')::uuid,
        coalesce(r->>'name', r->>'username', was->>'name', was->>'username', ''), was, r);
    return null;
end $$;
-- +goose StatementEnd

-- The files of a version are too much to look at.
-- +goose StatementBegin
create function audit_of_version() returns trigger
language plpgsql as $$
begin
    perform audit_write('template_version.created', 'done', new.id, (select t.name from templates t where t.id = new.template_id), null,
        jsonb_build_object('id', new.id, 'template_id', new.template_id, 'number', new.number, 'message', new.message,
            'digest', encode(new.digest, 'hex'), 'tags', new.tags, 'activate', new.activate));
    return null;
end $$;
-- +goose StatementEnd

create trigger audit after insert or update or delete on users
    for each row execute function audit_of_row('user', '', 'password_hash');
create trigger audit after insert or update or delete on api_tokens
    for each row execute function audit_of_row('token', 'last_used_at', 'secret_hash');
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by', '');
create trigger audit after insert on builds
    for each row execute function audit_of_row('build', 'resources', 'agent_secret,parameters');
create trigger audit_canceled after update on jobs
    for each row when ((old.cancel_requested_at, old.cancel_forced_at) is distinct from (new.cancel_requested_at, new.cancel_forced_at))
    execute function audit_of_row('job', 'problems,log_bytes,log_seq,heartbeat_at,error', '');
create trigger audit after insert or update or delete on templates
    for each row execute function audit_of_row('template', '', '');
create trigger audit after insert on template_versions
    for each row execute function audit_of_version();
create trigger audit after insert or update or delete on provisioner_keys
    for each row execute function audit_of_row('provisioner_key', '', 'secret_hash');

-- +goose StatementBegin
create function audit_refuse() returns trigger
language plpgsql as $$
begin
    raise exception 'the audit log is written once and never changed' using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger audit_stays before update or delete or truncate on audit_log
    for each statement execute function audit_refuse();

-- A webhook gets the events of some kinds, in their order. What it has to get
-- waits in its deliveries; cursor is the last event that was put there.
create table webhooks (
    id           uuid primary key default gen_random_uuid(),
    name         text not null,
    url          text not null,
    secret       bytea not null,
    kinds        text[] not null,
    cursor       bigint not null,
    created_by   uuid references users,
    created_at   timestamptz not null default now(),
    -- The coordinator that delivers, until then.
    leased_by    uuid,
    leased_until timestamptz not null default now()
);
create unique index webhooks_name on webhooks (lower(name));

create table webhook_deliveries (
    id          bigint generated always as identity primary key,
    webhook_id  uuid not null references webhooks on delete cascade,
    version     bigint not null,
    event       text not null,
    payload     bytea not null,
    status      text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
    attempts    int not null default 0,
    next_at     timestamptz not null default now(),
    answer      int not null default 0,
    error       text not null default '',
    created_at  timestamptz not null default now(),
    finished_at timestamptz
);
create index webhook_deliveries_pending on webhook_deliveries (webhook_id, id) where status = 'pending';
create index webhook_deliveries_over on webhook_deliveries (webhook_id, id desc);

create trigger audit after insert or update or delete on webhooks
    for each row execute function audit_of_row('webhook', 'cursor,leased_by,leased_until', 'secret');

-- +goose Down

drop table webhook_deliveries, webhooks, audit_log;
drop trigger event_made on workspaces;
drop trigger event_changed on workspaces;
drop trigger event_made on jobs;
drop trigger event_changed on jobs;
drop trigger event_made on agents;
drop trigger event_changed on agents;
drop trigger event_made on nodes;
drop trigger event_changed on nodes;
drop trigger event_made on templates;
drop trigger event_changed on templates;
drop trigger event_made on users;
drop trigger event_changed on users;
drop trigger event_made on api_tokens;
drop trigger event_changed on api_tokens;
drop trigger event_made on provisioner_keys;
drop trigger event_changed on provisioner_keys;
drop trigger audit on users;
drop trigger audit on api_tokens;
drop trigger audit on workspaces;
drop trigger audit on builds;
drop trigger audit_canceled on jobs;
drop trigger audit on templates;
drop trigger audit on template_versions;
drop trigger audit on provisioner_keys;
drop function audit_refuse, audit_of_version, audit_of_row, audit_write, event_of_job, event_of_row, event_emit;
drop table events;
