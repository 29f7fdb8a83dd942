-- name: InsertWebhook :one
insert into webhooks (id, name, url, secret, key_id, kinds, cursor, created_by)
select @id, @name, @url, @secret, @key_id, @kinds::text[], coalesce(max(e.version), 0), @created_by from events e
returning *;

-- name: WebhooksSealedOtherwise :many
select * from webhooks where key_id <> @key_id;

-- name: ResealWebhook :exec
update webhooks set key_id = @key_id, secret = @secret where id = @id and key_id = @old_key_id;

-- name: Webhooks :many
select w.*,
    (select count(*) from webhook_deliveries d where d.webhook_id = w.id and d.status = 'pending') as pending,
    (select count(*) from webhook_deliveries d where d.webhook_id = w.id and d.status = 'dead') as dead
from webhooks w
where lower(w.name) > @after::text and (@name::text = '' or strpos(lower(w.name), lower(@name)) > 0)
order by lower(w.name) limit @max;

-- name: CountWebhooks :one
select count(*) from webhooks;

-- name: WebhookByName :one
select * from webhooks where lower(name) = lower(@name);

-- name: DeleteWebhook :execrows
delete from webhooks where lower(name) = lower(@name);

-- name: LeaseWebhooks :many
update webhooks set leased_by = @leased_by, leased_until = now() + make_interval(secs => @lease::float8)
where leased_by = @leased_by or leased_until < now()
returning *;

-- name: LockLeasedWebhook :one
select * from webhooks where id = $1 and leased_by = $2 for no key update;

-- name: EventsForWebhook :many
select * from events where version > @after and kind = any(@kinds::text[]) order by version limit @page;

-- name: SetWebhookCursor :exec
update webhooks set cursor = $2 where id = $1;

-- name: InsertDelivery :exec
insert into webhook_deliveries (webhook_id, version, event, payload) values ($1, $2, $3, $4);

-- name: NextDelivery :one
select * from webhook_deliveries where webhook_id = $1 and status = 'pending' order by id limit 1;

-- name: DeliveryTried :exec
update webhook_deliveries set
    status = @status, attempts = attempts + 1, answer = @answer, error = @error, next_at = now() + make_interval(secs => @wait::float8),
    finished_at = case when @status = 'pending' then null else now() end
where id = @id;

-- name: Deliveries :many
select * from webhook_deliveries
where webhook_id = @webhook_id and id < @before_id and (@status::text = '' or status = @status)
order by id desc limit @page;

-- name: Redeliver :one
insert into webhook_deliveries (webhook_id, version, event, payload)
select d.webhook_id, d.version, d.event, d.payload from webhook_deliveries d
where d.id = @id and d.webhook_id = @webhook_id and d.status <> 'pending'
returning *;

-- name: NoteRedelivery :exec
update webhooks set redelivered_at = now() where id = $1;

-- name: CountPending :one
select count(*) from webhook_deliveries where webhook_id = $1 and status = 'pending';

-- name: PruneDeliveries :execrows
delete from webhook_deliveries d
where d.status <> 'pending' and (d.finished_at < @before or d.id < (
    select k.id from webhook_deliveries k
    where k.webhook_id = d.webhook_id order by k.id desc offset @keep::int limit 1
));
