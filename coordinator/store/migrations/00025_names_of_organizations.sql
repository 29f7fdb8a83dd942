-- +goose Up

-- Names of templates and keys are their organization's: two may have one each.
drop index templates_name;
create unique index templates_name on templates (organization_id, lower(name)) where deleted_at is null;
drop index provisioner_keys_name;
create unique index provisioner_keys_name on provisioner_keys (organization_id, lower(name)) where revoked_at is null;

-- So whoever hears of one hears whose it is.
drop trigger event_made on templates;
drop trigger event_changed on templates;
drop trigger event_made on provisioner_keys;
drop trigger event_changed on provisioner_keys;
create constraint trigger event_made after insert or delete on templates deferrable initially deferred
    for each row execute function event_of_row('template', 'name,organization_id,active_version_id');
create constraint trigger event_changed after update on templates deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('template', 'name,organization_id,active_version_id');
create constraint trigger event_made after insert or delete on provisioner_keys deferrable initially deferred
    for each row execute function event_of_row('provisioner_key', 'name,organization_id');
create constraint trigger event_changed after update on provisioner_keys deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('provisioner_key', 'name,organization_id');

-- +goose Down

drop trigger event_made on templates;
drop trigger event_changed on templates;
drop trigger event_made on provisioner_keys;
drop trigger event_changed on provisioner_keys;
-- Of those that share a name all but one get another.
update templates t set name = left(t.name, 23) || '-' || left(t.id::text, 8)
where t.deleted_at is null and exists (
    select 1 from templates o where o.deleted_at is null and lower(o.name) = lower(t.name) and (o.organization_id, o.id) < (t.organization_id, t.id));
update provisioner_keys t set name = left(t.name, 23) || '-' || left(t.id::text, 8)
where t.revoked_at is null and exists (
    select 1 from provisioner_keys o where o.revoked_at is null and lower(o.name) = lower(t.name) and (o.organization_id, o.id) < (t.organization_id, t.id));
drop index templates_name;
create unique index templates_name on templates (lower(name)) where deleted_at is null;
drop index provisioner_keys_name;
create unique index provisioner_keys_name on provisioner_keys (lower(name)) where revoked_at is null;
create constraint trigger event_made after insert or delete on templates deferrable initially deferred
    for each row execute function event_of_row('template', 'name,active_version_id');
create constraint trigger event_changed after update on templates deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('template', 'name,active_version_id');
create constraint trigger event_made after insert or delete on provisioner_keys deferrable initially deferred
    for each row execute function event_of_row('provisioner_key', 'name');
create constraint trigger event_changed after update on provisioner_keys deferrable initially deferred
    for each row when (old.* is distinct from new.*)
    execute function event_of_row('provisioner_key', 'name');
