-- name: InsertBuild :one
insert into builds (workspace_id, number, transition, template_version_id, parameters, initiator_id, reason, agent_secret)
select @workspace_id, coalesce(max(number), 0) + 1, @transition, @template_version_id, @parameters, @initiator_id, @reason, @agent_secret
from builds where workspace_id = @workspace_id
returning *;

-- name: InsertBuildJob :one
insert into jobs (build_id, tags)
select @build_id, v.tags from template_versions v where v.id = @template_version_id
returning *;

-- name: LastBuild :one
select sqlc.embed(b), sqlc.embed(j), u.username as initiator, v.number as version_number
from builds b
join jobs j on j.build_id = b.id
join users u on u.id = b.initiator_id
join template_versions v on v.id = b.template_version_id
where b.workspace_id = $1
order by b.number desc limit 1;

-- name: BuildsOfWorkspace :many
select sqlc.embed(b), sqlc.embed(j), u.username as initiator, v.number as version_number
from builds b
join jobs j on j.build_id = b.id
join users u on u.id = b.initiator_id
join template_versions v on v.id = b.template_version_id
where b.workspace_id = @workspace_id and b.number < @before::int
and (@status::text = '' or j.status = @status)
and (@transition::text = '' or b.transition = @transition)
order by b.number desc limit @max;

-- name: BuildByNumber :one
select sqlc.embed(b), sqlc.embed(j), u.username as initiator, v.number as version_number
from builds b
join jobs j on j.build_id = b.id
join users u on u.id = b.initiator_id
join template_versions v on v.id = b.template_version_id
where b.workspace_id = $1 and b.number = $2;

-- name: Build :one
select * from builds where id = $1;

-- name: FinishBuild :exec
update builds set finished_at = $2 where id = $1;

-- name: SetBuildResources :exec
update builds set resources = $2 where id = $1;

-- name: HolderOfState :one
select coalesce(p.name, '')::text as provisioner, j.started_at
from jobs j left join provisioners p on p.id = j.provisioner_id
where j.id = $1;

-- name: BuildWork :one
select sqlc.embed(b), v.number, v.digest, v.variables, v.found, v.lock_file, w.id as workspace_id, w.name as workspace_name,
    u.id as owner_id, u.username as owner_name, u.email as owner_email, t.name as template_name
from builds b
join workspaces w on w.id = b.workspace_id
join users u on u.id = w.owner_id
join template_versions v on v.id = b.template_version_id
join templates t on t.id = v.template_id
where b.id = $1;

-- name: LastBuilds :many
select distinct on (b.workspace_id) sqlc.embed(b), sqlc.embed(j), u.username as initiator, v.number as version_number
from builds b
join jobs j on j.build_id = b.id
join users u on u.id = b.initiator_id
join template_versions v on v.id = b.template_version_id
where b.workspace_id = any(@workspace_ids::uuid[])
order by b.workspace_id, b.number desc;
