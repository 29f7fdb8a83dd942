-- name: InsertMember :exec
insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)
on conflict (organization_id, user_id) do update set role = excluded.role;

-- name: DeleteMember :execrows
delete from organization_members where organization_id = $1 and user_id = $2;

-- name: Members :many
select u.id, u.username, m.role, m.created_at
from organization_members m join users u on u.id = m.user_id
where m.organization_id = @organization_id and u.deleted_at is null and lower(u.username) > @after::text
and (@name::text = '' or strpos(lower(u.username), lower(@name)) > 0)
order by lower(u.username) limit @max;

-- name: Member :one
select u.id, u.username, m.role, m.created_at, m.version
from organization_members m join users u on u.id = m.user_id
where m.organization_id = @organization_id and m.user_id = @user_id and u.deleted_at is null;

-- name: LockMember :one
select version from organization_members where organization_id = @organization_id and user_id = @user_id for update;

-- name: InsertOrganization :one
insert into organizations (name) values ($1) returning *;

-- name: Organizations :many
select * from organizations o
where (@everywhere::boolean or o.id = any(@organizations::uuid[])) and lower(o.name) > @after::text
and (@name::text = '' or strpos(lower(o.name), lower(@name)) > 0)
order by lower(o.name) limit @max;

-- name: OrganizationByID :one
select * from organizations where id = $1;

-- name: OrganizationByName :one
select * from organizations where lower(name) = lower(@name);

-- name: RenameOrganization :one
update organizations set name = $2 where id = $1 returning *;

-- name: LockOrganization :one
select * from organizations where id = $1 for update;

-- name: CountOrganizationUse :one
select (select count(*) from templates t where t.organization_id = @id and t.deleted_at is null)::bigint as templates,
    (select count(*) from workspaces w where w.organization_id = @id and w.deleted_at is null)::bigint as workspaces,
    (select count(*) from groups g where g.organization_id = @id)::bigint as groups,
    (select count(*) from provisioner_keys k where k.organization_id = @id and k.revoked_at is null)::bigint as keys;

-- name: LeaveOrganization :exec
with t as (update templates set organization_id = @heir where templates.organization_id = @id),
    w as (update workspaces set organization_id = @heir where workspaces.organization_id = @id)
update provisioner_keys set organization_id = @heir where provisioner_keys.organization_id = @id;

-- name: DeleteOrganization :exec
delete from organizations where id = $1;

-- name: InsertGroup :one
insert into groups (organization_id, name) values ($1, $2) returning *;

-- name: Groups :many
select g.*, o.name as organization_name, (select count(*) from group_members m where m.group_id = g.id)::bigint as members
from groups g join organizations o on o.id = g.organization_id
where (@everywhere::boolean or g.organization_id = any(@organizations::uuid[]))
and (lower(o.name), lower(g.name)) > (@after_organization::text, @after_name::text)
and (@name::text = '' or strpos(lower(g.name), lower(@name)) > 0)
order by lower(o.name), lower(g.name) limit @max;

-- name: GroupByName :one
select g.*, o.name as organization_name, (select count(*) from group_members m where m.group_id = g.id)::bigint as members
from groups g join organizations o on o.id = g.organization_id
where g.organization_id = @organization_id and lower(g.name) = lower(@name);

-- name: DeleteGroup :execrows
delete from groups where id = $1;

-- name: GroupMembers :many
select u.id, u.username, m.managers
from group_members m join users u on u.id = m.user_id
where m.group_id = @group_id and lower(u.username) > @after::text
and (@name::text = '' or strpos(lower(u.username), lower(@name)) > 0)
order by lower(u.username) limit @max;

-- name: LockGroup :one
select version from groups where id = $1 for update;

-- name: InsertGroupMember :execrows
insert into group_members (group_id, user_id)
select g.id, m.user_id from groups g join organization_members m on m.organization_id = g.organization_id
where g.id = @group_id and m.user_id = @user_id
on conflict (group_id, user_id) do update set managers = '{}';

-- name: DeleteGroupMember :execrows
delete from group_members where group_id = $1 and user_id = $2;

-- name: LeaveGroupsOf :exec
delete from group_members gm using groups g
where g.id = gm.group_id and g.organization_id = @organization_id and gm.user_id = @user_id;

-- name: LeaveManagedGroups :exec
delete from group_members gm using groups g, organizations o
where g.id = gm.group_id and o.id = g.organization_id
and gm.managers <> '{}' and gm.managers <@ array[@provider::text, ''] and gm.user_id = @user_id
and not (lower(o.name) || '/' || lower(g.name) = any(@names::text[]) or o.id = @default_id and lower(g.name) = any(@names::text[]));

-- name: DisownManagedGroups :exec
update group_members gm set managers = array_remove(gm.managers, @provider::text)
from groups g, organizations o
where g.id = gm.group_id and o.id = g.organization_id and gm.user_id = @user_id and @provider = any(gm.managers)
and not (lower(o.name) || '/' || lower(g.name) = any(@names::text[]) or o.id = @default_id and lower(g.name) = any(@names::text[]));

-- name: JoinManagedGroups :exec
insert into group_members as gm (group_id, user_id, managers)
select g.id, m.user_id, array[@provider::text]
from groups g join organizations o on o.id = g.organization_id join organization_members m on m.organization_id = o.id
where m.user_id = @user_id
and (lower(o.name) || '/' || lower(g.name) = any(@names::text[]) or o.id = @default_id and lower(g.name) = any(@names::text[]))
on conflict (group_id, user_id) do update set managers = array_remove(gm.managers, '') || @provider::text
where gm.managers <> '{}' and @provider <> all(gm.managers);
