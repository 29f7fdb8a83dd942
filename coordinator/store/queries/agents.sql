-- name: InsertAgentLogs :exec
insert into agent_logs (agent_id, seq, at, script, level, line)
select @agent_id, unnest(@seqs::bigint[]), unnest(@ats::timestamptz[]), unnest(@scripts::text[]), unnest(@levels::text[]), unnest(@lines::text[])
on conflict do nothing;

-- name: PruneAgentLogs :exec
delete from agent_logs where agent_id = $1 and seq <= $2;

-- name: AgentLogsAfter :many
select * from agent_logs where agent_id = $1 and seq > $2 order by seq limit $3;

-- name: LastAgentLine :one
select coalesce(max(seq), 0)::bigint from agent_logs where agent_id = $1;
