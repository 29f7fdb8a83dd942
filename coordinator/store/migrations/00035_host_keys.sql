-- +goose Up

-- The secret that the SSH host keys of all agents derive from, sealed with the
-- state key: one row, made when the first agent asks.
create table host_key_root (
    one    boolean primary key default true check (one),
    key_id text not null,
    sealed bytea not null
);

-- The public half of the host key that an agent was last told to have, as
-- authorized_keys has it; empty for one that did not ask.
alter table agents add column host_key text not null default '';

-- +goose Down

alter table agents drop column host_key;
drop table host_key_root;
