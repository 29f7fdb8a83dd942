-- name: InsertTemplate :one
insert into templates (name, created_by, organization_id) values ($1, $2, $3)
on conflict (organization_id, lower(name)) where deleted_at is null do update set name = templates.name
returning *;

-- name: InsertTemplateVersion :one
insert into template_versions (template_id, number, message, archive, digest, tags, variables, activate, tests, created_by)
select @template_id, coalesce(max(number), 0) + 1, @message, @archive, @digest, @tags, @variables, @activate::boolean, @tests::boolean, @created_by
from template_versions where template_id = @template_id
returning id, number, created_at;

-- name: InsertVersionJob :one
insert into jobs (template_version_id, tags) values ($1, $2) returning *;

-- name: Templates :many
select t.*, o.name as organization_name, u.username as creator, coalesce(v.number, 0)::int as active_number,
    (select count(*) from workspaces w where w.template_id = t.id and w.deleted_at is null) as workspaces
from templates t
join organizations o on o.id = t.organization_id
join users u on u.id = t.created_by
left join template_versions v on v.id = t.active_version_id
where t.deleted_at is null and (@everywhere::boolean or t.organization_id = any(@organizations::uuid[]))
and (lower(t.name), lower(o.name)) > (@after_name::text, @after_organization::text)
and (@name::text = '' or strpos(lower(t.name), lower(@name)) > 0)
order by lower(t.name), lower(o.name) limit @max;

-- name: TemplatesByID :many
select t.id, t.name, t.active_version_id, coalesce(v.number, 0)::int as active_number
from templates t left join template_versions v on v.id = t.active_version_id
where t.id = any(@ids::uuid[]);

-- name: TemplatesByName :many
select t.*, o.name as organization_name, u.username as creator, coalesce(v.number, 0)::int as active_number,
    (select count(*) from workspaces w where w.template_id = t.id and w.deleted_at is null) as workspaces
from templates t
join organizations o on o.id = t.organization_id
join users u on u.id = t.created_by
left join template_versions v on v.id = t.active_version_id
where t.deleted_at is null and lower(t.name) = lower(@name)
order by lower(o.name);

-- name: TemplateVersions :many
select v.id, v.template_id, v.number, v.message, v.digest, v.tags, v.variables, v.found, v.lock_file, v.tests, v.created_by, v.created_at,
    u.username as creator, t.name as template_name, sqlc.embed(j)
from template_versions v
join templates t on t.id = v.template_id
join users u on u.id = v.created_by
join jobs j on j.template_version_id = v.id
where v.template_id = @template_id and v.number < @before::int
and (@status::text = '' or j.status = @status)
order by v.number desc limit @max;

-- name: TemplateVersionByNumber :one
select v.id, v.template_id, v.number, v.message, v.digest, v.tags, v.variables, v.found, v.lock_file, v.tests, v.created_by, v.created_at,
    u.username as creator, t.name as template_name, sqlc.embed(j)
from template_versions v
join templates t on t.id = v.template_id
join users u on u.id = v.created_by
join jobs j on j.template_version_id = v.id
where v.template_id = $1 and v.number = $2;

-- name: TemplateVersion :one
select v.id, v.template_id, v.number, v.message, v.digest, v.tags, v.variables, v.found, v.lock_file, v.tests, v.created_by, v.created_at,
    u.username as creator, t.name as template_name, sqlc.embed(j)
from template_versions v
join templates t on t.id = v.template_id
join users u on u.id = v.created_by
join jobs j on j.template_version_id = v.id
where v.id = $1;

-- name: VersionArchive :one
select archive from template_versions where id = $1;

-- name: LockTemplate :one
select * from templates where id = $1 and deleted_at is null for no key update;

-- name: CountTemplateWorkspaces :one
select count(*) from workspaces where template_id = $1 and deleted_at is null;

-- name: DeleteTemplate :exec
update templates set deleted_at = now() where id = $1;

-- name: SetVersionFound :exec
update template_versions set found = $2, lock_file = $3 where id = $1;

-- name: ActivateImported :exec
update templates t set active_version_id = v.id, version = t.version + 1
from template_versions v
where v.id = @id and v.activate and t.id = v.template_id
and v.number > coalesce((select a.number from template_versions a where a.id = t.active_version_id), 0);

-- name: ActivateVersion :execrows
update templates t set active_version_id = v.id, version = t.version + 1
from template_versions v
where v.id = @id and t.id = v.template_id and v.found is not null and t.deleted_at is null;
