-- +goose Up

-- Versions grow with every change, so that whoever changes what they saw is told
-- if somebody else has done so since.
alter table users add column version bigint not null default 1;
alter table organizations add column version bigint not null default 1;
alter table organization_members add column version bigint not null default 1;
alter table groups add column version bigint not null default 1;
alter table quotas add column version bigint not null default 1;

-- +goose StatementBegin
create function version_grows() returns trigger
language plpgsql as $$
begin
    new.version := old.version + 1;
    return new;
end $$;
-- A group's members are what it is.
create function version_of_group_grows() returns trigger
language plpgsql as $$
begin
    update groups set version = version + 1 where id = case when TG_OP = 'DELETE' then old.group_id else new.group_id end;
    return null;
end $$;
-- +goose StatementEnd
create trigger version_grows before update on users
    for each row when (old.* is distinct from new.*) execute function version_grows();
create trigger version_grows before update on organizations
    for each row when (old.* is distinct from new.*) execute function version_grows();
create trigger version_grows before update on organization_members
    for each row when (old.* is distinct from new.*) execute function version_grows();
create trigger version_grows before update on quotas
    for each row when (old.* is distinct from new.*) execute function version_grows();
create trigger version_grows after insert or update or delete on group_members
    for each row execute function version_of_group_grows();

-- A version is nothing that anybody did.
drop trigger audit on users;
drop trigger audit on organizations;
drop trigger audit on organization_members;
drop trigger audit on groups;
drop trigger audit on quotas;
create trigger audit after insert or update or delete on users
    for each row execute function audit_of_row('user', 'version', 'password_hash');
create trigger audit after insert or update or delete on organizations
    for each row execute function audit_of_row('organization', 'version', '');
create trigger audit after insert or update or delete on organization_members
    for each row execute function audit_of_row('membership', 'version', '');
create trigger audit after insert or update or delete on groups
    for each row execute function audit_of_row('group', 'version', '');
create trigger audit after insert or update or delete on quotas
    for each row execute function audit_of_row('quota', 'version', '');

-- +goose Down

drop trigger version_grows on users;
drop trigger version_grows on organizations;
drop trigger version_grows on organization_members;
drop trigger version_grows on quotas;
drop trigger version_grows on group_members;
drop function version_grows, version_of_group_grows;
drop trigger audit on users;
drop trigger audit on organizations;
drop trigger audit on organization_members;
drop trigger audit on groups;
drop trigger audit on quotas;
create trigger audit after insert or update or delete on users
    for each row execute function audit_of_row('user', '', 'password_hash');
create trigger audit after insert or update or delete on organizations
    for each row execute function audit_of_row('organization', '', '');
create trigger audit after insert or update or delete on organization_members
    for each row execute function audit_of_row('membership', '', '');
create trigger audit after insert or update or delete on groups
    for each row execute function audit_of_row('group', '', '');
create trigger audit after insert or update or delete on quotas
    for each row execute function audit_of_row('quota', '', '');
alter table users drop column version;
alter table organizations drop column version;
alter table organization_members drop column version;
alter table groups drop column version;
alter table quotas drop column version;
