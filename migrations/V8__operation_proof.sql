-- How it was proven who asked for an operation; null where it is what the client said. Its decisions carry it, too.
alter table operation add column proof text;
