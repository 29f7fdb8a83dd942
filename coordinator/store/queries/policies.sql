-- name: NewestPolicy :one
select p.*, coalesce(u.username, '')::text as creator from policies p left join users u on u.id = p.created_by
order by p.version desc limit 1;

-- name: PolicyAt :one
select p.*, coalesce(u.username, '')::text as creator from policies p left join users u on u.id = p.created_by
where p.version = $1;

-- name: PolicyVersions :many
select p.version, p.created_at, length(p.text)::int as size, coalesce(u.username, '')::text as creator
from policies p left join users u on u.id = p.created_by
where p.version < @before order by p.version desc limit @max;

-- name: LockPolicies :exec
lock table policies in share row exclusive mode;

-- name: InsertPolicy :exec
insert into policies (version, text, created_by) values (@version, @text, @created_by);

-- name: GroupNamesOf :many
select g.name, o.name as organization, o.id as organization_id
from group_members m join groups g on g.id = m.group_id join organizations o on o.id = g.organization_id
where m.user_id = $1;
