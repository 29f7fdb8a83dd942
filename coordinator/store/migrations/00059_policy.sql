-- +goose Up

-- Who may reach what, as somebody wrote it down; the newest holds. Without one all may
-- reach what is theirs or shared with them.
create table policies (
    version    bigint primary key,
    id         uuid not null default gen_random_uuid(),
    text       text not null,
    created_by uuid references users,
    created_at timestamptz not null default now()
);

-- Each version keeps its text, so the audit log need not.
create trigger audit after insert or update or delete on policies
    for each row execute function audit_of_row('policy', 'text', '');
create constraint trigger event_made after insert on policies deferrable initially deferred
    for each row execute function event_of_row('policy', 'version');

-- +goose Down

drop table policies;
