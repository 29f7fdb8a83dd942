-- name: InsertTemplateWebhook :one
insert into template_webhooks (id, template_id, name, url, branch, directory, promote, key_id, secret, created_by)
select @id, t.id, t.name, @url, @branch, @directory, @promote, @key_id, @secret, @created_by
from templates t where t.id = @template_id and t.deleted_at is null
returning id;

-- name: TemplateWebhook :one
select sqlc.embed(w), u.username as creator, t.organization_id
from template_webhooks w join users u on u.id = w.created_by join templates t on t.id = w.template_id
where w.id = $1;

-- name: TemplateWebhookOf :one
select sqlc.embed(w), u.username as creator, t.organization_id
from template_webhooks w join users u on u.id = w.created_by join templates t on t.id = w.template_id
where w.template_id = $1;

-- name: DeleteTemplateWebhook :execrows
delete from template_webhooks where template_id = $1;

-- name: TemplateWebhookPushed :execrows
update template_webhooks set pushed_at = clock_timestamp(), tries = 0,
    due_at = greatest(clock_timestamp(), coalesce(fetched_at, '-infinity') + make_interval(secs => @pause::float8))
where id = @id;

-- name: LeaseTemplateWebhook :one
update template_webhooks set leased_until = now() + make_interval(secs => @lease::float8)
where id = (
    select w.id from template_webhooks w where w.due_at <= now() and w.leased_until <= now()
    order by w.due_at limit 1 for update skip locked
)
returning id;

-- name: TemplateWebhookFetched :exec
update template_webhooks set leased_until = now(), fetched_at = now(), tries = @tries, problem = @problem, commit = @commit,
    due_at = case when pushed_at is distinct from sqlc.narg(seen)::timestamptz then now() + make_interval(secs => @pause::float8)
        when @again::float8 > 0 then now() + make_interval(secs => @again::float8) end
where id = @id;

-- name: TemplateWebhooksSealedOtherwise :many
select id, key_id, secret from template_webhooks where key_id <> @key_id limit 100;

-- name: ResealTemplateWebhook :exec
update template_webhooks set key_id = @key_id, secret = @secret where id = @id and key_id = @old_key_id;

-- name: LiveUser :one
select u.username, u.role,
    coalesce((select jsonb_object_agg(m.organization_id, m.role) from organization_members m where m.user_id = u.id), '{}')::jsonb as organizations
from users u where u.id = $1 and u.suspended_at is null and u.deleted_at is null;
