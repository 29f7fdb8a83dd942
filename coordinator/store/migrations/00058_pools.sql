-- +goose Up

-- Whom workspaces belong to that are prepared and that nobody has claimed yet. It is
-- as a user who was deleted: it is in no list, nobody signs in as it, and its name is
-- none that a user can have. That it is there is nothing that anybody did.
alter table users disable trigger user;
insert into users (id, username, email, password_hash, role, deleted_at)
values ('00000000-0000-4000-8000-00000000ad17', '(prepared)', '', '', 'member', now());
alter table users enable trigger user;

-- How many workspaces of a template are kept ready.
create table pools (
    id         uuid primary key references templates on delete cascade, -- the template's
    size       int not null check (size >= 0),
    -- "mon-fri 07:00-19:00 Europe/Berlin": none at other times. Empty is always.
    schedule   text not null default '',
    parameters jsonb not null default '{}',
    -- How often in a row one could not be made, when that was last, and why.
    failures   int not null default 0,
    failed_at  timestamptz,
    problem    text not null default ''
);
create trigger audit after insert or update or delete on pools
    for each row execute function audit_of_row('pool', 'failures,failed_at,problem', '');

-- +goose Down

drop table pools;
alter table users disable trigger user;
delete from users where id = '00000000-0000-4000-8000-00000000ad17';
alter table users enable trigger user;
