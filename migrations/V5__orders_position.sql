-- Orders by their place in the log: a b-tree where a BRIN was. A BRIN knows a page only after a vacuum; until then whoever
-- asks for a few orders reads all that came since, 250 ms for 700,000 of them, and the page's stream asks every second.
-- A b-tree that is only ever appended to costs a message next to nothing.

-- What a replay has built so far has the old index, and would bring it back: it begins anew.
drop schema if exists next cascade;
drop index live.orders_position;
create index orders_position on live.orders (position);
