-- name: LockOwner :one
select id from users where id = $1 and deleted_at is null for no key update;

-- name: LockOwnerOfWorkspace :one
select u.id from users u join workspaces w on w.owner_id = u.id where w.id = $1 for no key update of u;

-- name: SetDailyCost :exec
update workspaces set daily_cost = $2 where id = $1 and daily_cost <> $2;

-- A user's own quota is for all their workspaces, a group's for those in its
-- organization.
-- name: QuotaOf :one
with own as (select q.budget from quotas q where q.user_id = @user_id)
select coalesce(
    (select own.budget from own),
    (select max(q.budget) from quotas q join groups g on g.id = q.group_id join group_members m on m.group_id = g.id
        where m.user_id = @user_id and g.organization_id = @organization_id),
    -1)::int as budget,
    (select coalesce(sum(t.cost + w.daily_cost), 0) from workspaces w join templates t on t.id = w.template_id
        where w.owner_id = @user_id and w.deleted_at is null
        and (w.organization_id = @organization_id or exists (select 1 from own)))::bigint as used;

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
select q.budget, coalesce(u.username, '')::text as username, coalesce(g.name, '')::text as group_name, coalesce(o.name, '')::text as organization
from quotas q
left join users u on u.id = q.user_id
left join groups g on g.id = q.group_id
left join organizations o on o.id = g.organization_id
where (u.id is null or u.deleted_at is null)
and (q.user_id is not null and @people::boolean
    or q.group_id is not null and (@everywhere::boolean or g.organization_id = any(@organizations::uuid[])))
and (q.group_id is not null, lower(coalesce(o.name, '')), lower(coalesce(u.username, g.name)))
    > (@after_group::boolean, @after_organization::text, @after_name::text)
order by q.group_id is not null, lower(coalesce(o.name, '')), lower(coalesce(u.username, g.name)) limit @max;

-- name: QuotaOfUser :one
select q.budget, q.version from quotas q join users u on u.id = q.user_id
where lower(u.username) = lower(@username) and u.deleted_at is null for update of q;

-- name: QuotaOfGroup :one
select q.budget, q.version from quotas q join groups g on g.id = q.group_id
where lower(g.name) = lower(@group_name) and g.organization_id = @organization_id for update of q;

-- name: InsertFavourite :exec
insert into favourites (user_id, workspace_id) values ($1, $2) on conflict do nothing;

-- name: DeleteFavourite :exec
delete from favourites where user_id = $1 and workspace_id = $2;

-- name: FavouritesAmong :many
select workspace_id from favourites where user_id = @user_id and workspace_id = any(@ids::uuid[]);
