-- +goose Up

-- Who is in what is as much a matter of record as who is.
create trigger audit after insert or update or delete on organizations
    for each row execute function audit_of_row('organization', '', '');
create trigger audit after insert or update or delete on organization_members
    for each row execute function audit_of_row('membership', '', '');
create trigger audit after insert or update or delete on groups
    for each row execute function audit_of_row('group', '', '');
create trigger audit after insert or update or delete on group_members
    for each row execute function audit_of_row('group_membership', '', '');
create trigger audit after insert or update or delete on user_identities
    for each row execute function audit_of_row('identity', 'last_used_at', '');

-- +goose Down

drop trigger audit on user_identities;
drop trigger audit on group_members;
drop trigger audit on groups;
drop trigger audit on organization_members;
drop trigger audit on organizations;
