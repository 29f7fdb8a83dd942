-- name: WriteAudit :exec
select audit_write(@action::text, @outcome::text, sqlc.narg(object_id)::uuid, @object_name::text, null, @details::jsonb);

-- name: AuditEntries :many
select * from audit_log
where id < @before_id
and (@actor::text = '' or lower(actor_name) = lower(@actor))
and (@action::text = '' or action = @action or action like @action || '.%')
and (@object::text = '' or lower(object_name) = lower(@object) or object_id::text = @object)
and (@outcome::text = '' or outcome = @outcome)
and (sqlc.narg(since)::timestamptz is null or at >= sqlc.narg(since))
and (sqlc.narg(until)::timestamptz is null or at < sqlc.narg(until))
order by id desc limit @page;
