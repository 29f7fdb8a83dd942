-- +goose Up

create table users (
    id            uuid primary key default gen_random_uuid(),
    username      text not null,
    email         text not null,
    password_hash text not null,
    role          text not null check (role in ('owner', 'member')),
    created_at    timestamptz not null default now()
);
create unique index users_username on users (lower(username));
create unique index users_email on users (lower(email));

-- Secrets of tokens are random and long, so a plain SHA-256 keeps them.
create table api_tokens (
    id           uuid primary key default gen_random_uuid(),
    user_id      uuid not null references users on delete cascade,
    name         text not null,
    secret_hash  bytea not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
create index api_tokens_user on api_tokens (user_id);

create table workspaces (
    id         uuid primary key default gen_random_uuid(),
    owner_id   uuid not null references users,
    name       text not null,
    external   boolean not null,
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index workspaces_name on workspaces (owner_id, lower(name)) where deleted_at is null;

create table agents (
    id                 uuid primary key default gen_random_uuid(),
    workspace_id       uuid not null references workspaces on delete cascade,
    name               text not null,
    token_hash         bytea not null,
    state              text not null default 'connecting'
                       check (state in ('connecting', 'connected', 'disconnected', 'timeout')),
    version            text not null default '',
    created_at         timestamptz not null default now(),
    first_connected_at timestamptz,
    last_connected_at  timestamptz,
    disconnected_at    timestamptz,
    unique (workspace_id, name)
);

-- A node is a member of the mesh: an agent, whose id it shares, or a client of
-- a user. A WireGuard key belongs to one node, also while the node is away.
create table nodes (
    id           uuid primary key,
    user_id      uuid not null references users on delete cascade,
    agent_id     uuid unique references agents on delete cascade,
    address      inet not null unique,
    public_key   bytea not null unique check (length(public_key) = 32),
    disco_key    bytea not null check (length(disco_key) = 32),
    resume_hash  bytea,
    created_at   timestamptz not null default now(),
    last_seen_at timestamptz not null default now()
);
create index nodes_last_seen on nodes (last_seen_at) where agent_id is null;

-- +goose Down

drop table nodes, agents, workspaces, api_tokens, users;
