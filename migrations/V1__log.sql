-- The log: everything that ever changes state, in one total order, and the verdicts beside it.
-- Nothing in this file is ever updated but the head and the checkpoint, one row each.

create table source (
    id   int generated always as identity,
    kind text not null,
    name text not null,
    constraint source_pkey primary key (id),
    constraint source_name unique (kind, name),
    constraint source_kind check (kind in ('stan', 'jetstream', 'http', 'operator'))
);

-- One row: the next position, and the highest sequence stored of each source (highest[source.id]; 0 where none).
-- Whoever appends holds its lock, so positions are dense and in commit order.
create table inbox_head (
    one           boolean not null default true,
    next_position bigint not null,
    highest       bigint[] not null,
    constraint inbox_head_pkey primary key (one),
    constraint inbox_head_one check (one)
) with (fillfactor = 10);
insert into inbox_head (next_position, highest) values (1, '{}');

create table inbox (
    position       bigint not null,
    sequence       bigint not null,
    broker_time_ns bigint not null,
    hash           bigint not null,
    received_at    timestamptz not null,
    source_id      int not null,
    key            text,
    payload        bytea,
    decision       jsonb,
    constraint inbox_pkey primary key (position),
    constraint inbox_content check (payload is not null or decision is not null)
);
create unique index inbox_identity on inbox (source_id, sequence, broker_time_ns, hash);
create unique index inbox_key on inbox (source_id, key) where key is not null;

-- A rejection, given once, by the code and the rules of its day. A row without one was accepted.
create table verdict (
    position       bigint not null,
    rules_position bigint not null,
    fingerprint    bigint not null,
    code_version   int not null,
    reason         text not null,
    code           text not null,
    message        text not null,
    pointer        text not null,
    order_uid      text,
    violations     jsonb not null,
    constraint verdict_pkey primary key (position)
);

-- How far each projection has come, and who works it. (leader, term, renewals) standing still is the lease running out.
create table checkpoint (
    projection text not null,
    position   bigint not null,
    leader     text not null,
    term       bigint not null,
    renewals   bigint not null,
    constraint checkpoint_pkey primary key (projection)
) with (fillfactor = 10);
insert into checkpoint (projection, position, leader, term, renewals) values ('live', 0, '', 0, 0);
