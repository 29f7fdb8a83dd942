-- +goose Up

-- Tokens of programs in workspaces, which go where links of the policy lead from there.
-- They last for minutes, and end with the token of the agent that asked for them.
create table client_tokens (
    id          uuid primary key default gen_random_uuid(),
    agent_id    uuid not null references agents on delete cascade,
    -- What was kept of the agent's token when this one was made.
    agent_hash  bytea not null,
    secret_hash bytea not null,
    expires_at  timestamptz not null
);
create index client_tokens_agent on client_tokens (agent_id, expires_at desc);

-- +goose Down

drop table client_tokens;
