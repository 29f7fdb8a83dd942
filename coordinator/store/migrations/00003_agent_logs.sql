-- +goose Up

-- What agents' scripts say. The agent numbers its lines.
create table agent_logs (
    agent_id uuid not null references agents on delete cascade,
    seq      bigint not null,
    at       timestamptz not null,
    script   text not null,
    level    text not null,
    line     text not null,
    primary key (agent_id, seq)
);

-- +goose Down

drop table agent_logs;
