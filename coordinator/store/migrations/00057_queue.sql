-- +goose Up

alter table provisioners
    -- It was told to stop: it takes no more jobs, and those that it has go on.
    add column draining boolean not null default false,
    -- When its session ended. Null while it has one, and after a coordinator that
    -- was killed: whoever was not seen for a lease is gone, too.
    add column left_at timestamptz;

-- Jobs are listed by when they were asked for.
create index jobs_created on jobs (created_at, id);

-- +goose Down

drop index jobs_created;
alter table provisioners drop column draining, drop column left_at;
