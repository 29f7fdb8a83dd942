-- +goose Up

create table templates (
    id                uuid primary key default gen_random_uuid(),
    name              text not null,
    created_by        uuid not null references users,
    active_version_id uuid,
    created_at        timestamptz not null default now(),
    deleted_at        timestamptz
);
create unique index templates_name on templates (lower(name)) where deleted_at is null;

-- A version is the files as they were pushed, and what its import found in
-- them. It never changes after that.
create table template_versions (
    id          uuid primary key default gen_random_uuid(),
    template_id uuid not null references templates,
    number      int not null,
    message     text not null default '',
    archive     bytea not null,
    digest      bytea not null,
    tags        jsonb not null default '{}',
    variables   jsonb not null default '{}',
    -- A provisionerv1.Template in protojson; null until the import succeeded.
    found       jsonb,
    lock_file   bytea,
    -- It becomes the active one when its import succeeds.
    activate    boolean not null default true,
    created_by  uuid not null references users,
    created_at  timestamptz not null default now(),
    unique (template_id, number)
);
alter table templates add foreign key (active_version_id) references template_versions;

alter table workspaces
    add column template_id uuid references templates,
    add column phase text not null default 'pending' check (phase in
        ('pending', 'starting', 'running', 'stopping', 'stopped', 'deleting', 'deleted', 'failed')),
    -- Grows with every change of the phase or of a condition.
    add column version bigint not null default 1,
    -- The job whose provisioner may hold a newer state than ours. Nothing is
    -- built before it is back.
    add column state_held_by uuid;
update workspaces set phase = case when deleted_at is null then 'running' else 'deleted' end;

-- A build moves a workspace. One at a time.
create table builds (
    id                  uuid primary key default gen_random_uuid(),
    workspace_id        uuid not null references workspaces,
    number              int not null,
    transition          text not null check (transition in ('start', 'stop', 'delete')),
    template_version_id uuid not null references template_versions,
    parameters          jsonb not null default '{}',
    initiator_id        uuid not null references users,
    reason              text not null default '',
    agent_secret        bytea not null,
    resources           jsonb,
    created_at          timestamptz not null default now(),
    finished_at         timestamptz,
    unique (workspace_id, number)
);
create unique index builds_one_at_a_time on builds (workspace_id) where finished_at is null;

-- A job is one piece of Terraform's work: of a template version or of a build.
--
--   queued -> running -> succeeded | failed | canceled
--     ^ |        |
--     | canceled |  its provisioner is gone, and it had changed nothing
--     +----------+
create table jobs (
    id                  uuid primary key default gen_random_uuid(),
    template_version_id uuid references template_versions,
    build_id            uuid references builds,
    tags                jsonb not null default '{}',
    status              text not null default 'queued' check (status in
        ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    attempt             int not null default 0,
    provisioner_id      uuid,
    heartbeat_at        timestamptz,
    -- When a build was allowed to change what exists outside.
    began_at            timestamptz,
    cancel_requested_at timestamptz,
    cancel_forced_at    timestamptz,
    error               text not null default '',
    -- provisionerv1.Problems in protojson.
    problems            jsonb not null default '[]',
    log_bytes           bigint not null default 0,
    log_seq             bigint not null default 0,
    created_at          timestamptz not null default now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    check ((template_version_id is null) <> (build_id is null))
);
create index jobs_queued on jobs (created_at) where status = 'queued';
create index jobs_running on jobs (heartbeat_at) where status = 'running';
create unique index jobs_build on jobs (build_id);
create index jobs_version on jobs (template_version_id);

create table job_logs (
    job_id uuid not null references jobs on delete cascade,
    seq    bigint not null,
    at     timestamptz not null,
    stage  text not null,
    level  text not null,
    line   text not null,
    primary key (job_id, seq)
);

-- States are sealed with a key that is not in the database. Older ones are kept
-- for the desperate; those put aside did not descend from the current one.
create table workspace_states (
    id           uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references workspaces,
    job_id       uuid references jobs,
    lineage      text not null,
    serial       bigint not null,
    key_id       text not null,
    sealed       bytea not null,
    aside        boolean not null default false,
    created_at   timestamptz not null default now()
);
create index workspace_states_newest on workspace_states (workspace_id, serial desc) where not aside;

create table provisioner_keys (
    id          uuid primary key default gen_random_uuid(),
    name        text not null,
    secret_hash bytea not null,
    tags        jsonb not null default '{}',
    created_by  uuid references users,
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);
create unique index provisioner_keys_name on provisioner_keys (lower(name)) where revoked_at is null;

create table provisioners (
    id                uuid primary key,
    key_id            uuid references provisioner_keys,
    name              text not null,
    version           text not null,
    terraform_version text not null,
    tags              jsonb not null default '{}',
    slots             int not null,
    connected_at      timestamptz not null default now(),
    last_seen_at      timestamptz not null default now()
);

alter table agents
    add column build_id uuid references builds,
    -- A provisionerv1.Agent in protojson; null for external workspaces.
    add column manifest jsonb,
    add column scripts_state text not null default 'none' check (scripts_state in
        ('none', 'running', 'succeeded', 'failed', 'timeout'));

-- +goose Down

alter table agents drop column build_id, drop column manifest, drop column scripts_state;
drop table provisioners, provisioner_keys, workspace_states, job_logs, jobs, builds;
alter table workspaces drop column template_id, drop column phase, drop column version, drop column state_held_by;
alter table templates drop constraint templates_active_version_id_fkey;
drop table template_versions, templates;
