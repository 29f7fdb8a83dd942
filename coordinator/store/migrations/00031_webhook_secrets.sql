-- +goose Up

-- Secrets are sealed with a key that the database has not. Those from before are
-- as they were made, have no key's id, and are sealed when a coordinator starts.
alter table webhooks add column key_id text not null default '';

-- +goose Down

alter table webhooks drop column key_id;
