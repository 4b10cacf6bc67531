-- Long-running work: what was asked, by whom, the set frozen when it was asked, how far it came, how it ended.

create table operation (
    id          bigint generated always as identity,
    kind        text not null,
    state       text not null,
    asked_by    text not null,
    reason      text not null default '',
    key         text,
    request     jsonb not null,
    progress    jsonb not null default '{}',
    outcome     jsonb,
    total       bigint not null default 0,
    done        bigint not null default 0,
    failed      bigint not null default 0,
    created_at  timestamptz not null default now(),
    started_at  timestamptz,
    finished_at timestamptz,
    constraint operation_pkey primary key (id),
    constraint operation_kind check (kind in ('bulk', 'rules_check', 'replay')),
    constraint operation_state check (state in ('pending', 'running', 'paused', 'done', 'failed', 'cancelled', 'stopped'))
);
create unique index operation_key on operation (key) where key is not null;
-- One replay at a time.
create unique index operation_one_replay on operation (kind)
    where kind = 'replay' and state in ('pending', 'running', 'paused');
create index operation_active on operation (id) where state in ('pending', 'running', 'paused');

create table operation_item (
    operation bigint not null,
    letter    bigint not null,
    position  bigint,
    result    text,
    detail    jsonb,
    constraint operation_item_pkey primary key (operation, letter),
    constraint operation_item_operation foreign key (operation) references operation (id)
);
create index operation_item_open on operation_item (operation, letter) where result is null;
