-- +goose Up

-- Where a template's files come from when somebody pushes: a branch of a repository,
-- whose forge posts to an URL that only the webhook's id names. What it signs with is
-- sealed with a key that is not in here.
create table template_webhooks (
    id           uuid primary key default gen_random_uuid(),
    template_id  uuid not null unique references templates on delete cascade,
    name         text not null, -- the template's, for the audit log
    url          text not null,
    branch       text not null,
    directory    text not null,
    promote      boolean not null,
    key_id       text not null,
    secret       bytea not null,
    created_by   uuid not null references users,
    created_at   timestamptz not null default now(),
    -- When a push was last told of, and when it is to be fetched; null is that there is
    -- nothing to fetch. A coordinator fetches alone until then.
    pushed_at    timestamptz,
    due_at       timestamptz,
    leased_until timestamptz not null default now(),
    -- What came of it: how often in a row it failed and why, and what was fetched last.
    tries        int not null default 0,
    problem      text not null default '',
    fetched_at   timestamptz,
    commit       text not null default ''
);
create index template_webhooks_due on template_webhooks (due_at) where due_at is not null;
create trigger audit after insert or update or delete on template_webhooks
    for each row execute function audit_of_row('template_webhook', 'key_id,pushed_at,due_at,leased_until,tries,fetched_at', 'secret');

-- Whether its import runs Terraform's own tests, too.
alter table template_versions add column tests boolean not null default false;

-- +goose Down

alter table template_versions drop column tests;
drop table template_webhooks;
