-- name: OfferWorkspace :execrows
insert into workspace_offers (id, user_id, offered_by)
select w.id, u.id, @offered_by
from workspaces w
join organization_members m on m.organization_id = w.organization_id
join users u on u.id = m.user_id
where w.id = @workspace_id and w.deleted_at is null and lower(u.username) = lower(@username)
and u.deleted_at is null and u.suspended_at is null and u.id <> w.owner_id
on conflict (id) do update set user_id = excluded.user_id, offered_by = excluded.offered_by, created_at = now();

-- name: DeleteOffer :execrows
delete from workspace_offers where id = $1;

-- name: DeleteOfferTo :execrows
delete from workspace_offers where id = $1 and user_id = $2;

-- Offers are good for a week, and while whoever they are to is in the organization.
-- name: OffersOf :many
select o.id, o.created_at, t.username as to_name, b.username as by_name, w.name, u.username as owner_name, w.external
from workspace_offers o
join workspaces w on w.id = o.id
join users u on u.id = w.owner_id
join users t on t.id = o.user_id
join users b on b.id = o.offered_by
join organization_members m on m.organization_id = w.organization_id and m.user_id = o.user_id
where w.deleted_at is null and (o.user_id = @user_id or w.owner_id = @user_id or o.offered_by = @user_id)
and o.created_at > now() - interval '7 days'
and (sqlc.narg(after_at)::timestamptz is null or (o.created_at, o.id) > (sqlc.narg(after_at)::timestamptz, @after_id::uuid))
and (@name::text = '' or strpos(lower(w.name), lower(@name)) > 0)
order by o.created_at, o.id limit @max;

-- name: TakeOffer :one
delete from workspace_offers o using workspaces w, organization_members m
where o.id = @workspace_id and o.user_id = @user_id and w.id = o.id
and m.organization_id = w.organization_id and m.user_id = o.user_id
and o.created_at > now() - interval '7 days'
returning o.id;

-- name: CostOfWorkspace :one
select (coalesce(t.cost, 0) + w.daily_cost)::int as cost, w.organization_id
from workspaces w left join templates t on t.id = w.template_id where w.id = $1;

-- name: GiveWorkspace :exec
update workspaces set owner_id = @owner_id, name = @name, used_at = now(), dormant_at = null, extended_until = null, version = version + 1
where id = @id;

-- name: DeleteShares :exec
delete from workspace_shares where workspace_id = $1;

-- name: ResetAgents :many
update agents set token_hash = @token_hash, state = 'disconnected', disconnected_at = coalesce(disconnected_at, now())
where workspace_id = @workspace_id
returning id;

-- name: DeleteNodesOfAgents :exec
delete from nodes where agent_id = any(@ids::uuid[]);
