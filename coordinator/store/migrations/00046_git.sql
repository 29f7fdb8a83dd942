-- +goose Up

-- What a user's agents may show to git servers: for each origin, SCHEME://HOST, a
-- name and a password, sealed with a key that is not in here.
create table git_credentials (
    user_id    uuid not null references users on delete cascade,
    origin     text not null,
    username   text not null,
    key_id     text not null,
    sealed     bytea not null,
    created_at timestamptz not null default now(),
    -- To the minute; null while no agent has asked for it.
    used_at    timestamptz,
    primary key (user_id, origin)
);
create trigger audit after insert or update or delete on git_credentials
    for each row execute function audit_of_row('git_credential', 'used_at,key_id', 'sealed');

-- Whose files make a user's workspaces theirs.
create table dotfiles (
    user_id uuid primary key references users on delete cascade,
    url     text not null,
    ref     text not null
);

-- +goose Down

drop table dotfiles;
drop table git_credentials;
