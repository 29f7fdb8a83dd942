-- +goose Up

-- Why a template is not to be used any more, and what is in its place; empty unless
-- that is so.
alter table templates add column deprecated text not null default '';

drop view workspace_upkeep;
create view workspace_upkeep as
select w.id, w.owner_id, w.template_id, w.phase, (w.state_held_by is not null)::boolean as held, w.autostart, w.autostart_set_at, w.ttl,
    w.extended_until, w.used_at, w.last_active_at, w.dormant_at, w.upkeep_problem,
    b.transition, b.created_at as built_at, b.finished_at, b.template_version_id,
    t.default_ttl, t.max_ttl, t.activity_bump, t.autostart as may_autostart, t.dormant_after, t.delete_after, t.cost, t.deprecated
from workspaces w
join templates t on t.id = w.template_id
join builds b on b.workspace_id = w.id and b.number = (select max(l.number) from builds l where l.workspace_id = w.id)
where w.deleted_at is null;

-- +goose Down

drop view workspace_upkeep;
create view workspace_upkeep as
select w.id, w.owner_id, w.template_id, w.phase, (w.state_held_by is not null)::boolean as held, w.autostart, w.autostart_set_at, w.ttl,
    w.extended_until, w.used_at, w.last_active_at, w.dormant_at, w.upkeep_problem,
    b.transition, b.created_at as built_at, b.finished_at, b.template_version_id,
    t.default_ttl, t.max_ttl, t.activity_bump, t.autostart as may_autostart, t.dormant_after, t.delete_after, t.cost
from workspaces w
join templates t on t.id = w.template_id
join builds b on b.workspace_id = w.id and b.number = (select max(l.number) from builds l where l.workspace_id = w.id)
where w.deleted_at is null;
alter table templates drop column deprecated;
