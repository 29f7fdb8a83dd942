-- +goose Up

-- Templates, workspaces, groups and provisioner keys belong to an organization.
-- Every deployment has the first one, whose id is known, so that whoever never
-- heard of organizations is in it.
create table organizations (
    id         uuid primary key default gen_random_uuid(),
    name       text not null,
    created_at timestamptz not null default now()
);
create unique index organizations_name on organizations (lower(name));
insert into organizations (id, name) values ('00000000-0000-0000-0000-000000000001', 'default');

-- A user who is deleted leaves a row for what they once did to refer to; their
-- name and address are free again. No password is an empty hash.
alter table users
    drop constraint users_role_check,
    add constraint users_role_check check (role in ('owner', 'template-admin', 'user-admin', 'auditor', 'member')),
    add column suspended_at timestamptz,
    add column deleted_at timestamptz;
drop index users_username, users_email;
create unique index users_username on users (lower(username)) where deleted_at is null;
create unique index users_email on users (lower(email)) where deleted_at is null;

create table organization_members (
    organization_id uuid not null references organizations on delete cascade,
    user_id         uuid not null references users on delete cascade,
    role            text not null default 'member'
                    check (role in ('owner', 'template-admin', 'user-admin', 'auditor', 'member')),
    created_at      timestamptz not null default now(),
    primary key (organization_id, user_id)
);
create index organization_members_user on organization_members (user_id);
insert into organization_members (organization_id, user_id)
select '00000000-0000-0000-0000-000000000001', id from users;

create table groups (
    id              uuid primary key default gen_random_uuid(),
    organization_id uuid not null default '00000000-0000-0000-0000-000000000001' references organizations,
    name            text not null,
    created_at      timestamptz not null default now()
);
create unique index groups_name on groups (organization_id, lower(name));

-- Managed members are a sign-in's to add and remove, by what the provider says;
-- the others are people's.
create table group_members (
    group_id uuid not null references groups on delete cascade,
    user_id  uuid not null references users on delete cascade,
    managed  boolean not null default false,
    primary key (group_id, user_id)
);
create index group_members_user on group_members (user_id);

alter table templates add column organization_id uuid not null
    default '00000000-0000-0000-0000-000000000001' references organizations;
alter table workspaces add column organization_id uuid not null
    default '00000000-0000-0000-0000-000000000001' references organizations;
alter table provisioner_keys add column organization_id uuid not null
    default '00000000-0000-0000-0000-000000000001' references organizations;

-- Whom a provider knows: the subject is for ever, names and addresses are not.
create table user_identities (
    issuer       text not null,
    subject      text not null,
    user_id      uuid not null references users on delete cascade,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    primary key (issuer, subject)
);
create index user_identities_user on user_identities (user_id);

-- Scopes narrow what the user may do; none is everything.
alter table api_tokens
    add column scopes text[] not null default '{}',
    add column kind text not null default 'token' check (kind in ('token', 'login', 'browser'));

-- Wrong passwords by name, whether anybody has it or not.
create table login_failures (
    name         text primary key,
    failures     int not null,
    last_at      timestamptz not null default now(),
    locked_until timestamptz
);

-- A command line that waits for somebody to let it in, in a browser.
create table device_logins (
    id          uuid primary key default gen_random_uuid(),
    secret_hash bytea not null,
    user_code   text not null unique,
    remote      text not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    approved_by uuid references users on delete cascade,
    denied_at   timestamptz
);

-- +goose Down

drop table device_logins, login_failures, user_identities, group_members, groups, organization_members;
alter table api_tokens drop column scopes, drop column kind;
alter table provisioner_keys drop column organization_id;
alter table workspaces drop column organization_id;
alter table templates drop column organization_id;
drop table organizations;
-- Whoever was deleted or had another role is a member again, who cannot sign in.
update users set username = id::text, email = id::text, password_hash = '' where deleted_at is not null;
update users set role = 'member' where role <> 'owner';
drop index users_username, users_email;
create unique index users_username on users (lower(username));
create unique index users_email on users (lower(email));
alter table users
    drop constraint users_role_check,
    add constraint users_role_check check (role in ('owner', 'member')),
    drop column suspended_at, drop column deleted_at;
