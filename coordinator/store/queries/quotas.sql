-- name: LockOwner :one
select id from users where id = $1 and deleted_at is null for no key update;

-- name: QuotaOf :one
select coalesce(
    (select q.budget from quotas q where q.user_id = @user_id),
    (select max(q.budget) from quotas q join group_members g on g.group_id = q.group_id where g.user_id = @user_id),
    -1)::int as budget,
    (select coalesce(sum(t.cost), 0) from workspaces w join templates t on t.id = w.template_id
        where w.owner_id = @user_id and w.deleted_at is null)::bigint as used;

-- name: SetUserQuota :execrows
insert into quotas (user_id, budget)
select u.id, @budget from users u where lower(u.username) = lower(@username) and u.deleted_at is null
on conflict (user_id) do update set budget = excluded.budget;

-- name: SetGroupQuota :execrows
insert into quotas (group_id, budget)
select g.id, @budget from groups g where lower(g.name) = lower(@group_name) and g.organization_id = @organization_id
on conflict (group_id) do update set budget = excluded.budget;

-- name: DeleteUserQuota :execrows
delete from quotas q using users u where u.id = q.user_id and lower(u.username) = lower(@username) and u.deleted_at is null;

-- name: DeleteGroupQuota :execrows
delete from quotas q using groups g where g.id = q.group_id and lower(g.name) = lower(@group_name) and g.organization_id = @organization_id;

-- name: Quotas :many
select q.budget, coalesce(u.username, '')::text as username, coalesce(g.name, '')::text as group_name
from quotas q left join users u on u.id = q.user_id left join groups g on g.id = q.group_id
where u.id is null or u.deleted_at is null
order by q.group_id is not null, lower(coalesce(u.username, g.name));

-- name: InsertFavourite :exec
insert into favourites (user_id, workspace_id) values ($1, $2) on conflict do nothing;

-- name: DeleteFavourite :exec
delete from favourites where user_id = $1 and workspace_id = $2;

-- name: FavouritesAmong :many
select workspace_id from favourites where user_id = @user_id and workspace_id = any(@ids::uuid[]);
