-- +goose Up

-- Webhooks are events like all else: whoever delivers learns at once of a new one,
-- and that something is to be delivered again. Their addresses are secrets, often.
alter table webhooks add column redelivered_at timestamptz;
create constraint trigger event_made after insert or delete on webhooks deferrable initially deferred
    for each row execute function event_of_row('webhook', 'name,kinds');
create constraint trigger event_changed after update on webhooks deferrable initially deferred
    for each row when (old.redelivered_at is distinct from new.redelivered_at)
    execute function event_of_row('webhook', 'name,kinds');

-- Which providers' word put a member into a group, by their names here; '' is some
-- provider's, before it was noted which. None is people's word.
alter table group_members add column managers text[] not null default '{}';
update group_members set managers = '{""}' where managed;
alter table group_members drop column managed;

-- audit_of_row, as in 00011; what has no name is called as what it is of.
-- +goose StatementBegin
create or replace function audit_of_row() returns trigger
language plpgsql as $$
declare
    noise text[] := string_to_array(TG_ARGV[1], ',');
    was jsonb := case when TG_OP = 'INSERT' then null else to_jsonb(old) - noise end;
    r jsonb := case when TG_OP = 'DELETE' then null else to_jsonb(new) - noise end;
    it jsonb := coalesce(r, was);
    verb text := 'changed';
    secret text;
    changed boolean;
begin
    if was is not distinct from r then
        return null;
    end if;
    if TG_OP = 'INSERT' then
        verb := 'created';
    elsif TG_OP = 'DELETE' or coalesce(r->>'deleted_at', r->>'revoked_at') is not null and coalesce(was->>'deleted_at', was->>'revoked_at') is null then
        verb := 'deleted';
    end if;
    foreach secret in array string_to_array(TG_ARGV[2], ',') loop
        changed := TG_OP = 'UPDATE' and was->secret is distinct from r->secret;
        if was ? secret then
            was := jsonb_set(was, array[secret], '"hidden"');
        end if;
        if r ? secret then
            r := jsonb_set(r, array[secret], case when changed then '"hidden, changed"'::jsonb else '"hidden"' end);
        end if;
    end loop;
    perform audit_write(TG_ARGV[0] || '.' || verb, 'done', (it->>'id')::uuid,
        coalesce(it->>'name', it->>'username', audit_name(TG_ARGV[0], it), ''), was, r);
    return null;
end $$;

create function audit_name(kind text, r jsonb) returns text
language sql stable as $$
    select case
    when kind = 'offer' then (select name from workspaces where id = (r->>'id')::uuid)
    when r ? 'workspace_id' then (select name from workspaces where id = (r->>'workspace_id')::uuid)
    when kind = 'job' then (select w.name from builds b join workspaces w on w.id = b.workspace_id where b.id = (r->>'build_id')::uuid)
    when r->>'user_id' is not null then (select username from users where id = (r->>'user_id')::uuid)
    when r->>'group_id' is not null then (select name from groups where id = (r->>'group_id')::uuid)
    end
$$;
-- +goose StatementEnd

-- +goose Down

-- +goose StatementBegin
create or replace function audit_of_row() returns trigger
language plpgsql as $$
declare
    noise text[] := string_to_array(TG_ARGV[1], ',');
    was jsonb := case when TG_OP = 'INSERT' then null else to_jsonb(old) - noise end;
    r jsonb := case when TG_OP = 'DELETE' then null else to_jsonb(new) - noise end;
    verb text := 'changed';
    secret text;
    changed boolean;
begin
    if was is not distinct from r then
        return null;
    end if;
    if TG_OP = 'INSERT' then
        verb := 'created';
    elsif TG_OP = 'DELETE' or coalesce(r->>'deleted_at', r->>'revoked_at') is not null and coalesce(was->>'deleted_at', was->>'revoked_at') is null then
        verb := 'deleted';
    end if;
    foreach secret in array string_to_array(TG_ARGV[2], ',') loop
        changed := TG_OP = 'UPDATE' and was->secret is distinct from r->secret;
        if was ? secret then
            was := jsonb_set(was, array[secret], '"hidden"');
        end if;
        if r ? secret then
            r := jsonb_set(r, array[secret], case when changed then '"hidden, changed"'::jsonb else '"hidden"' end);
        end if;
    end loop;
    perform audit_write(TG_ARGV[0] || '.' || verb, 'done', (coalesce(r, was)->>'id')::uuid,
        coalesce(r->>'name', r->>'username', was->>'name', was->>'username', ''), was, r);
    return null;
end $$;
drop function audit_name;
-- +goose StatementEnd
alter table group_members add column managed boolean not null default false;
update group_members set managed = true where managers <> '{}';
alter table group_members drop column managers;
drop trigger event_changed on webhooks;
drop trigger event_made on webhooks;
alter table webhooks drop column redelivered_at;
