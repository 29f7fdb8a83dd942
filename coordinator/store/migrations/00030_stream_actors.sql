-- +goose Up

-- Provisioners act on their streams, and have names of their own.
-- +goose StatementBegin
create or replace function audit_write(action text, outcome text, object_id uuid, object_name text, before jsonb, after jsonb) returns void
language plpgsql as $$
declare
    who jsonb := coalesce(nullif(current_setting('adit.actor', true), ''), '{"kind": "system"}')::jsonb;
    actor uuid := (who->>'user_id')::uuid;
begin
    insert into audit_log (actor_kind, actor_id, actor_name, token_id, remote, request_id, action, outcome, object_id, object_name, before, after)
    values (who->>'kind', actor, coalesce((select u.username from users u where u.id = actor), who->>'name', ''), (who->>'token_id')::uuid,
        coalesce(who->>'remote', ''), coalesce(who->>'request_id', ''), action, outcome, object_id, object_name, before, after);
end $$;
-- +goose StatementEnd

-- +goose Down

-- +goose StatementBegin
create or replace function audit_write(action text, outcome text, object_id uuid, object_name text, before jsonb, after jsonb) returns void
language plpgsql as $$
declare
    who jsonb := coalesce(nullif(current_setting('adit.actor', true), ''), '{"kind": "system"}')::jsonb;
    actor uuid := (who->>'user_id')::uuid;
begin
    insert into audit_log (actor_kind, actor_id, actor_name, token_id, remote, request_id, action, outcome, object_id, object_name, before, after)
    values (who->>'kind', actor, coalesce((select u.username from users u where u.id = actor), ''), (who->>'token_id')::uuid,
        coalesce(who->>'remote', ''), coalesce(who->>'request_id', ''), action, outcome, object_id, object_name, before, after);
end $$;
-- +goose StatementEnd
