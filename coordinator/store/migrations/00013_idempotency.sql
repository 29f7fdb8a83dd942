-- +goose Up

-- What was asked for under a key of the caller's choice, so that it is done once
-- however often it is asked for. Neither the key nor what it says of the request
-- nor the answer can be read here: all are hashed or sealed with the key itself.
create table idempotency_keys (
    user_id    uuid not null references users on delete cascade,
    key_hash   bytea not null,
    -- The attempt that is at it, or was.
    claim      uuid not null,
    claimed_at timestamptz not null default now(),
    digest     bytea not null,
    -- What was asked for is there: set in the transaction that makes it.
    done       boolean not null default false,
    -- Null until the answer is known.
    status     int,
    answer     bytea,
    created_at timestamptz not null default now(),
    primary key (user_id, key_hash)
);
create index idempotency_keys_age on idempotency_keys (created_at);

-- Grows with every change of which version is active.
alter table templates add column version bigint not null default 1;

-- +goose Down

alter table templates drop column version;
drop table idempotency_keys;
