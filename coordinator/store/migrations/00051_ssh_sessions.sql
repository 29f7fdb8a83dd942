-- +goose Up

-- Who did what in workspaces, as their agents tell: a row for each session, and one
-- for all that a connection forwarded. The coordinator says whose client it was. Kept
-- for 90 days.
create table ssh_sessions (
    id           uuid primary key,
    agent_id     uuid not null,
    agent_name   text not null,
    workspace_id uuid not null references workspaces on delete cascade,
    -- Null if the client was not linked to the agent when it was first told of.
    user_id      uuid,
    user_name    text not null,
    -- Where the client was: an address, or a relay's URL.
    came_from    text not null,
    path         text not null,
    kind         text not null,
    started_at   timestamptz not null,
    -- Null while it is open, and for one whose end was never told.
    ended_at     timestamptz,
    rx_bytes     bigint not null,
    tx_bytes     bigint not null
);
create index ssh_sessions_workspace on ssh_sessions (workspace_id, started_at desc);
create index ssh_sessions_started on ssh_sessions (started_at);

-- +goose Down

drop table ssh_sessions;
