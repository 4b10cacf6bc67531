-- Collections: the model is data. What was of orders alone gets the collection's id: the position of its first definition,
-- 0 for the orders of a database that is older than definitions.
--
-- This is the one migration that 0.1 does not survive: it knows its row of the checkpoint by the name `live`, and can neither
-- take, renew nor advance a lease that is called otherwise. What it still appends is good.

-- In the order in which the projector locks them.
lock table live.orders in access exclusive mode;
drop schema if exists next cascade;
drop schema if exists retired cascade;
delete from checkpoint where projection = 'next';
update checkpoint set projection = 'documents' where projection = 'live';

-- Where the messages of a source go. The operator's decisions go nowhere; they are about what is there.
alter table source add column collection text default 'orders';
update source set collection = null where kind = 'operator';
update source set name = 'orders' where kind = 'http';

alter table verdict rename column order_uid to key;
alter table verdict rename column rules_position to definition;
alter table healed rename column rules_position to definition;

alter table live.orders rename column order_uid to key;
alter table live.duplicates rename column order_uid to key;
alter table live.dead_letters rename column order_uid to key;
alter table live.dead_letters rename column rules_position to definition;
alter index live.dead_letters_order rename to dead_letters_key;
-- Looked up as in every collection: by what a pointer leads to, of a long text the first 512 characters.
drop index live.orders_customer;
drop index live.orders_track;
create index orders_067069bf on live.orders (left(data ->> 'customer_id', 512), position);
create index orders_03616220 on live.orders (left(data ->> 'track_number', 512), position);

alter table live.duplicates add column collection bigint not null default 0;
-- name: where it was sent to, also if nothing of that name is defined. age: the first letter of a chain of resubmissions.
alter table live.dead_letters
    add column collection bigint not null default 0,
    add column name text not null default 'orders',
    add column age bigint not null default 0;
with recursive chain (id, first) as (
    select id, id from live.dead_letters where origin is null
    union all
    select l.id, c.first from live.dead_letters l join chain c on l.origin = c.id
)
update live.dead_letters l set age = c.first from chain c where c.id = l.id;
alter table live.dead_letter_groups add column collection bigint not null default 0;
create index dead_letters_collection on live.dead_letters (collection, state, id);

-- A decision about no letter is of no collection: -1.
alter table live.decisions
    add column collection bigint not null default -1,
    drop constraint decisions_fate,
    drop constraint decisions_result;
update live.decisions
set fate = case fate when 'order' then 'document' else fate end,
    collection = case when letter is null or result = 'no_such_letter' then -1 else 0 end;
alter table live.decisions
    add constraint decisions_fate check (fate in ('document', 'superseded', 'duplicate', 'dead_letter', 'decision')),
    add constraint decisions_result
        check (result in ('done', 'still_failing', 'already_so', 'too_late', 'no_such_letter', 'refused'));

-- A fate is counted for each collection, from the first row that meets it.
create table live.counts (
    collection bigint not null,
    fate       text not null,
    count      bigint not null,
    constraint counts_pkey primary key (collection, fate)
) with (fillfactor = 10);
insert into live.counts (collection, fate, count)
select collection, fate, count from (
    select -1 as collection, 'decision' as fate, count(*) from live.decisions where collection = -1
    union all
    select 0, case fate when 'order' then 'document' else fate end,
           count - case fate when 'decision' then (select count(*) from live.decisions where collection = -1) else 0 end
    from live.fates
) counted where count > 0;
drop table live.fates;
alter table live.counts rename to fates;
alter index live.counts_pkey rename to fates_pkey;

-- Which definitions there were, and what came of each. The rules of 0.1 were all that could change.
create table live.definitions (
    position   bigint not null,
    collection bigint not null,
    name       text not null,
    action     text not null,
    hash       text not null,
    text       text not null,
    result     text not null,
    constraint definitions_pkey primary key (position),
    constraint definitions_action check (action in ('define', 'drop', 'rules')),
    constraint definitions_result check (result in ('done', 'already_so', 'too_late', 'refused'))
);
create index definitions_collection on live.definitions (collection, position);
insert into live.definitions (position, collection, name, action, hash, text, result)
select position, 0, 'orders', 'rules', hash, text, result from live.rules;
drop table live.rules;

-- What was worked out once, for a row that was accepted: what it adds to a sum, whether it takes its document away. Only ever
-- added to, as verdicts are: a replay reads it.
create table amount (
    position bigint not null,
    value    bigint,
    gone     boolean,
    constraint amount_pkey primary key (position),
    constraint amount_content check (value is not null or gone is not null)
);

-- The tables of each collection that are there, and what the holder of the lease knows of them. rendered_by: the definition by
-- which the documents in them look.
create table collection (
    id          bigint not null,
    name        text not null,
    rendered_by bigint not null,
    trouble     text,
    constraint collection_pkey primary key (id)
);
insert into collection (id, name, rendered_by) values (0, 'orders', 0);

alter table operation
    drop constraint operation_kind,
    add constraint operation_kind check (kind in ('bulk', 'rules_check', 'replay', 'plan', 'refresh', 'index'));

-- What was asked for before the names changed.
update operation
set request = jsonb_set(request #- '{filter,order_uid}', '{filter,key}', request #> '{filter,order_uid}')
where request #> '{filter,order_uid}' is not null;
