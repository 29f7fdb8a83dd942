-- name: JobByID :one
select * from jobs where id = $1;

-- name: LockJob :one
select * from jobs where id = $1 for no key update;

-- name: WorkspaceOfJob :one
select b.workspace_id from jobs j join builds b on b.id = j.build_id where j.id = $1;

-- name: LockNextJob :one
select * from jobs
where status = 'queued' and tags <@ @tags::jsonb and not (id = any(@skip::uuid[]))
-- A key's provisioners work for its organization; those built in, for all.
and (sqlc.narg(key_id)::uuid is null or (select k.organization_id from provisioner_keys k where k.id = sqlc.narg(key_id)::uuid) = (
    select t.organization_id from template_versions v join templates t on t.id = v.template_id
    where v.id = coalesce(jobs.template_version_id, (select b.template_version_id from builds b where b.id = jobs.build_id))
))
order by created_at
limit 1
for no key update skip locked;

-- name: CountRunning :one
select count(*) from jobs where status = 'running' and provisioner_id = $1;

-- name: WriteJob :exec
update jobs set
    status = @status, attempt = @attempt, provisioner_id = @provisioner_id, heartbeat_at = @heartbeat_at, began_at = @began_at,
    cancel_requested_at = @cancel_requested_at, cancel_forced_at = @cancel_forced_at, error = @error, problems = @problems,
    started_at = @started_at, finished_at = @finished_at
where id = @id;

-- name: Heartbeat :many
update jobs j set heartbeat_at = now()
from (select unnest(@ids::uuid[]) as id, unnest(@attempts::int[]) as attempt) h
where j.id = h.id and j.attempt = h.attempt and j.provisioner_id = @provisioner_id and j.status = 'running'
returning j.id;

-- name: RunningJobs :many
select * from jobs where status = 'running' order by started_at;

-- name: QueuedJobs :many
select j.id, j.tags, j.created_at, t.organization_id
from jobs j
left join builds b on b.id = j.build_id
join template_versions v on v.id = coalesce(j.template_version_id, b.template_version_id)
join templates t on t.id = v.template_id
where j.status = 'queued' order by j.created_at, j.id;

-- name: Jobs :many
select sqlc.embed(j), t.name as template_name, v.number as version_number, o.name as organization_name,
    coalesce(b.transition, 'import')::text as kind, coalesce(b.number, 0)::int as build_number, coalesce(w.name, '')::text as workspace_name,
    coalesce(u.username, '')::text as owner_name, coalesce(p.name, '')::text as provisioner
from jobs j
left join builds b on b.id = j.build_id
join template_versions v on v.id = coalesce(j.template_version_id, b.template_version_id)
join templates t on t.id = v.template_id
join organizations o on o.id = t.organization_id
left join workspaces w on w.id = b.workspace_id
left join users u on u.id = w.owner_id
left join provisioners p on p.id = j.provisioner_id
where (@everywhere::boolean or t.organization_id = any(@organizations::uuid[]))
and (@status::text = '' or j.status = @status)
and (sqlc.narg(after_at)::timestamptz is null or (j.created_at, j.id) < (sqlc.narg(after_at)::timestamptz, @after_id::uuid))
order by j.created_at desc, j.id desc limit @max;

-- name: Now :one
select now()::timestamptz;

-- name: AddLogBytes :exec
update jobs set log_seq = log_seq + @lines, log_bytes = log_bytes + @bytes, log_attempt = attempt, log_taken = @taken where id = @id;

-- name: InsertLogs :exec
insert into job_logs (job_id, seq, at, stage, level, line)
select @job_id, unnest(@seqs::bigint[]), unnest(@ats::timestamptz[]), unnest(@stages::text[]), unnest(@levels::text[]), unnest(@lines::text[]);

-- name: LogsAfter :many
select * from job_logs where job_id = $1 and seq > $2 order by seq limit $3;
