-- name: GrantOf :one
select coalesce((
    select s.level
    from workspace_shares s
    join workspaces w on w.id = s.workspace_id
    join organization_members m on m.organization_id = w.organization_id and m.user_id = @user_id
    where s.workspace_id = @workspace_id and w.deleted_at is null
    and (s.user_id = @user_id or s.group_id in (select g.group_id from group_members g where g.user_id = @user_id))
    order by array_position(array['admin', 'connect', 'apps'], s.level) limit 1
), '')::text as level;

-- name: SharedWith :many
select s.id, s.level
from (
    select distinct on (w.id) w.id, s.level, lower(u.username) as owner, lower(w.name) as name
    from workspace_shares s
    join workspaces w on w.id = s.workspace_id
    join users u on u.id = w.owner_id
    join organization_members m on m.organization_id = w.organization_id and m.user_id = @user_id
    where w.deleted_at is null and w.owner_id <> @user_id
    and (s.user_id = @user_id or s.group_id in (select g.group_id from group_members g where g.user_id = @user_id))
    order by w.id, array_position(array['admin', 'connect', 'apps'], s.level)
) s
where (s.owner, s.name) > (@after_owner::text, @after_name::text)
and (@name::text = '' or strpos(s.name, lower(@name)) > 0)
order by s.owner, s.name limit @max;

-- name: SharesOfWorkspace :many
select s.*, coalesce(u.username, g.name, '')::text as name, b.username as sharer
from workspace_shares s
left join users u on u.id = s.user_id
left join groups g on g.id = s.group_id
join users b on b.id = s.created_by
where s.workspace_id = @workspace_id
and (s.group_id is not null, lower(coalesce(u.username, g.name))) > (@after_group::boolean, @after_name::text)
order by s.group_id is not null, lower(coalesce(u.username, g.name)) limit @max;

-- name: ShareWithUser :execrows
insert into workspace_shares (workspace_id, user_id, level, created_by)
select w.id, u.id, @level, @created_by
from workspaces w
join organization_members m on m.organization_id = w.organization_id
join users u on u.id = m.user_id
where w.id = @workspace_id and w.deleted_at is null and lower(u.username) = lower(@username) and u.deleted_at is null
and u.id <> w.owner_id
on conflict (workspace_id, user_id) do update set level = excluded.level;

-- name: ShareWithGroup :execrows
insert into workspace_shares (workspace_id, group_id, level, created_by)
select w.id, g.id, @level, @created_by
from workspaces w
join groups g on g.organization_id = w.organization_id
where w.id = @workspace_id and w.deleted_at is null and lower(g.name) = lower(@group_name)
on conflict (workspace_id, group_id) do update set level = excluded.level;

-- name: UnshareWithUser :execrows
delete from workspace_shares s using users u
where s.user_id = u.id and s.workspace_id = @workspace_id and lower(u.username) = lower(@username);

-- name: UnshareWithGroup :execrows
delete from workspace_shares s using groups g
where s.group_id = g.id and s.workspace_id = @workspace_id and lower(g.name) = lower(@group_name);
