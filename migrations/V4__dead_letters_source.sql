-- A page of one source's letters: without it, a source of few letters is looked for among all of them.
create index dead_letters_source on live.dead_letters (source_id, state, id);
