-- A large set of letters is frozen page by page: one statement over millions would outlast its time-out. While its letters
-- are being listed an operation is `freezing`: up to which letter they are (frozen_to), and up to which they will be, the
-- newest one when it was asked for (freeze_to).
alter table operation
    add column frozen_to bigint,
    add column freeze_to bigint,
    drop constraint operation_state,
    add constraint operation_state
        check (state in ('freezing', 'pending', 'running', 'paused', 'done', 'failed', 'cancelled', 'stopped')),
    -- A set of which only a part is listed is not worked: neither by us, nor by older code on another replica.
    add constraint operation_frozen check (frozen_to is null or state in ('freezing', 'paused', 'failed', 'cancelled'));
drop index operation_active;
create index operation_active on operation (id) where state in ('freezing', 'pending', 'running', 'paused');
