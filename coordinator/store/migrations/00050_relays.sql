-- +goose Up

-- A region of relays. Its id is what nodes and the DERP protocol call it: 900 is
-- the relay inside the server.
create table relay_regions (
    id         int primary key check (id between 901 and 65535),
    code       text not null unique,
    name       text not null,
    latitude   double precision,
    longitude  double precision,
    created_at timestamptz not null default now()
);

-- A relay, which joins with its token. What it said of itself is kept, so that a
-- coordinator that starts knows which relays there were.
create table relays (
    id           uuid primary key default gen_random_uuid(),
    name         text not null,
    region_id    int not null references relay_regions,
    secret_hash  bytea not null,
    created_by   uuid references users on delete set null,
    created_at   timestamptz not null default now(),
    revoked_at   timestamptz,
    version      text not null default '',
    url          text not null default '',
    stun_ports   int[] not null default '{}',
    cert_name    text not null default '',
    -- Of its own, with which it may come back.
    public_key   bytea,
    connected    boolean not null default false,
    connected_at timestamptz,
    last_seen_at timestamptz
);
create unique index relays_name on relays (lower(name)) where revoked_at is null;

create trigger audit after insert or update or delete on relays
    for each row execute function audit_of_row('relay', 'version,url,stun_ports,cert_name,public_key,connected,connected_at,last_seen_at', 'secret_hash');

-- +goose Down

drop table relays;
drop table relay_regions;
