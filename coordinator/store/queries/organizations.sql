-- name: InsertMember :exec
insert into organization_members (organization_id, user_id, role) values ($1, $2, $3);
