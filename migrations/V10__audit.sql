-- Who was let in, who was turned away, and who took data out. Rows are only ever added: the service's own role may neither
-- change nor remove one. Decisions about messages are not here: they are in the log.
create table audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    what text not null,
    who text not null,
    proof text not null,
    address text not null,
    detail text not null,
    -- The same again and again within a minute is one row.
    times integer not null
);
create index audit_who on audit (who, id);
create index audit_address on audit (who, address) where what = 'new_address';
