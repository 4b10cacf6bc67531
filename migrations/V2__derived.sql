-- The derived tables: what follows from the log and its verdicts, written by the projector alone.
-- All in one schema, so that a replay can build the next one beside it and swap. Names here are unqualified in the
-- code: a session's search_path says which of the two it works on.

create schema live;

create table live.orders (
    position       bigint not null,
    bytes_position bigint not null,
    order_uid      text not null,
    data           jsonb not null,
    constraint orders_pkey primary key (order_uid)
);
create index orders_customer on live.orders ((data ->> 'customer_id'), position);
create index orders_track on live.orders ((data ->> 'track_number'), position);
create index orders_position on live.orders using brin (position) with (pages_per_range = 16);

create table live.duplicates (
    position  bigint not null,
    order_uid text not null,
    constraint duplicates_pkey primary key (position)
);

create table live.dead_letters (
    id               bigint not null,
    fingerprint      bigint not null,
    verdict_position bigint not null,
    rules_position   bigint not null,
    received_at      timestamptz not null,
    first_failed_at  timestamptz not null,
    last_failed_at   timestamptz not null,
    next_attempt_at  timestamptz,
    decided_by       bigint,
    origin           bigint,
    attempts         int not null,
    code_version     int not null,
    source_id        int not null,
    state            text not null,
    reason           text not null,
    code             text not null,
    pointer          text not null,
    message          text not null,
    order_uid        text,
    constraint dead_letters_pkey primary key (id),
    constraint dead_letters_state check (state in ('open', 'replaced', 'discarded'))
) with (fillfactor = 80);
create index dead_letters_state on live.dead_letters (state, id);
create index dead_letters_group on live.dead_letters (fingerprint, state, id);
create index dead_letters_order on live.dead_letters (order_uid, id) where order_uid is not null;
create index dead_letters_received on live.dead_letters using brin (received_at) with (pages_per_range = 16);
create index dead_letters_due on live.dead_letters (next_attempt_at) where next_attempt_at is not null;

create table live.dead_letter_groups (
    fingerprint bigint not null,
    open        bigint not null,
    replaced    bigint not null,
    discarded   bigint not null,
    sample      bigint not null,
    first_seen  timestamptz not null,
    last_seen   timestamptz not null,
    reason      text not null,
    code        text not null,
    pointer     text not null,
    message     text not null,
    constraint dead_letter_groups_pkey primary key (fingerprint)
) with (fillfactor = 50);

-- What became of each decision. fate says as what its inbox row is counted: a retry that passes is an order.
create table live.decisions (
    position  bigint not null,
    letter    bigint,
    refers_to bigint,
    action    text not null,
    result    text not null,
    fate      text not null,
    constraint decisions_pkey primary key (position),
    constraint decisions_result check (result in ('done', 'still_failing', 'already_so', 'too_late', 'no_such_letter')),
    constraint decisions_fate check (fate in ('order', 'duplicate', 'dead_letter', 'decision'))
);
create index decisions_letter on live.decisions (letter, position) where letter is not null;

create table live.rules (
    position bigint not null,
    hash     text not null,
    text     text not null,
    result   text not null,
    constraint rules_pkey primary key (position),
    constraint rules_result check (result in ('done', 'already_so', 'too_late'))
);

create table live.fates (
    fate  text not null,
    count bigint not null,
    constraint fates_pkey primary key (fate)
) with (fillfactor = 10);
insert into live.fates (fate, count) values ('order', 0), ('duplicate', 0), ('dead_letter', 0), ('decision', 0);

-- One row for each life of a broker's store, as far as it can be read from what arrived.
create table live.source_account (
    source_id      int not null,
    epoch          int not null,
    rows           bigint not null,
    first_sequence bigint not null,
    last_sequence  bigint not null,
    began_ns       bigint not null,
    last_at        timestamptz not null,
    received       int8multirange not null,
    constraint source_account_pkey primary key (source_id, epoch)
) with (fillfactor = 10);
