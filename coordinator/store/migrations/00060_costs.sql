-- +goose Up

-- What a workspace's resources cost a day, in the units of quotas. It takes that of
-- its owner's quota beside what its template says.
alter table workspaces add column daily_cost int not null default 0;

-- It follows from builds, and is nothing that anybody did.
drop trigger audit on workspaces;
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by,last_active_at,used_at,upkeep_problem,daily_cost', '');

-- +goose Down

drop trigger audit on workspaces;
create trigger audit after insert or update or delete on workspaces
    for each row execute function audit_of_row('workspace', 'version,phase,state_held_by,last_active_at,used_at,upkeep_problem', '');
alter table workspaces drop column daily_cost;
