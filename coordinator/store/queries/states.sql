-- name: CurrentState :one
select * from workspace_states
where workspace_id = $1 and not aside
order by created_at desc, serial desc limit 1;

-- name: InsertState :one
insert into workspace_states (id, workspace_id, job_id, lineage, serial, key_id, sealed, aside, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())
returning id;

-- name: PruneStates :exec
delete from workspace_states s
where s.workspace_id = @workspace_id and s.id not in (
    select k.id from workspace_states k
    where k.workspace_id = @workspace_id
    order by k.created_at desc limit @keep
) and s.id <> @current;

-- name: StatesSealedOtherwise :many
select * from workspace_states where key_id <> $1 and id > @after order by id limit 20;

-- name: ResealState :exec
update workspace_states set key_id = $2, sealed = $3 where id = $1 and key_id = @old_key_id;
