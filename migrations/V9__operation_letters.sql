-- The letters of a finished operation are kept for a while only; the operation and its outcome stay. While they are being
-- removed, a part of them would look like all: so the operation says first that they go.
alter table operation
    add column letters text not null default 'kept',
    add constraint operation_letters check (letters in ('kept', 'going', 'gone'));
create index operation_kept on operation (finished_at) where finished_at is not null and kind = 'bulk' and letters <> 'gone';
