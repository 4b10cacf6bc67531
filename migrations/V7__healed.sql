-- Up to which position the verdicts on open letters were looked at again by this version of the code and under these rules:
-- letters of older code or rules that are open still, and were judged before it, stay as they were.
create table healed (
    code_version   int not null,
    rules_position bigint not null,
    position       bigint not null,
    constraint healed_pkey primary key (code_version, rules_position)
);
