-- +goose Up

-- By which the relays of a region know each other: 32 bytes in hex, of two random
-- UUIDs, which the system's generator makes.
alter table relay_regions add column mesh_key text not null
    default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');

-- +goose Down

alter table relay_regions drop column mesh_key;
