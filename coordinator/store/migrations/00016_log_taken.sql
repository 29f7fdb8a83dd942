-- +goose Up

-- How many lines of an attempt's log were taken: a provisioner whose connection
-- broke sends again what it does not know to be here.
alter table jobs
    add column log_attempt int not null default 0,
    add column log_taken   bigint not null default 0;

-- +goose Down

alter table jobs drop column log_attempt, drop column log_taken;
