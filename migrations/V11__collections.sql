-- Collections: the model is data. What was of orders alone gets the collection's id: the position of its first definition,
-- 0 for the orders of a database that is older than definitions.
--
-- This is the one migration that 0.1 does not survive: it knows its row of the checkpoint by the name `live`, and can neither
-- take, renew nor advance a lease that is called otherwise. What it still appends is good.

-- In the order in which the projector locks them.
lock table live.orders in access exclusive mode;
drop schema if exists next cascade;
delete from checkpoint where projection = 'next';
update checkpoint set projection = 'documents' where projection = 'live';

-- Where the messages of a source go. The operator's decisions go nowhere; they are about what is there.
alter table source add column collection text default 'orders';
update source set collection = null where kind = 'operator';

alter table verdict rename column order_uid to key;
alter table verdict rename column rules_position to definition;
alter table healed rename column rules_position to definition;

alter table live.orders rename column order_uid to key;
alter table live.duplicates rename column order_uid to key;
alter table live.dead_letters rename column order_uid to key;
alter table live.dead_letters rename column rules_position to definition;
alter index live.dead_letters_order rename to dead_letters_key;

alter table live.decisions drop constraint decisions_fate;
update live.decisions set fate = 'document' where fate = 'order';
alter table live.decisions add constraint decisions_fate
    check (fate in ('document', 'superseded', 'duplicate', 'dead_letter', 'decision'));
update live.fates set fate = 'document' where fate = 'order';

-- What was asked for before the names changed.
update operation
set request = jsonb_set(request #- '{filter,order_uid}', '{filter,key}', request #> '{filter,order_uid}')
where request #> '{filter,order_uid}' is not null;
