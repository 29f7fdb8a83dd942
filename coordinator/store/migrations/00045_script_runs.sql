-- +goose Up

-- How each script of an agent is doing, as the agent says: a list of the API's
-- ScriptStatus.
alter table agents add column script_runs jsonb not null default '[]';

create constraint trigger event_scripts after update on agents deferrable initially deferred
    for each row when (old.script_runs is distinct from new.script_runs and old.scripts_state = new.scripts_state)
    execute function event_of_row('agent', 'name,state,scripts_state,version');

-- +goose Down

drop trigger event_scripts on agents;
alter table agents drop column script_runs;
