//! What others have attached to the live tables: an owner, grants, comments, membership in publications. A swap puts other
//! tables in their place, which have to get the same, or whoever read `live.orders` before a replay could not after it.

use crate::postgres::{Client, Error, query, query_one};

/// One text of many statements. What default privileges gave to the new tables alone is taken away first. The owner comes last:
/// the grants before it become his.
const STATEMENTS: &str = "
    with live as (
        select c.oid, c.relname, c.relowner, c.relacl, c.relreplident, n.relowner as next_owner, n.relacl as next_acl
        from pg_class c join pg_class n on n.relname = c.relname and n.relnamespace = 'next'::regnamespace
        where c.relnamespace = 'live'::regnamespace and c.relkind = 'r' and n.relkind = 'r'
    ),
    grants as (
        select l.relname, '' as columns, a.* from live l, aclexplode(l.relacl) a where a.grantee <> l.relowner
        union all
        select l.relname, format('(%I)', c.attname), a.*
        from live l join pg_attribute c on c.attrelid = l.oid and not c.attisdropped, aclexplode(c.attacl) a
    ),
    statements (step, statement) as (
        select 1, format('revoke all on next.%I from %s', l.relname,
                         case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        from live l, aclexplode(l.next_acl) a where a.grantee <> l.next_owner
        union all
        select 2, format('grant %s %s on next.%I to %s%s', privilege_type, columns, relname,
                         case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
                         case when is_grantable then ' with grant option' end)
        from grants
        union all
        select 3, format('comment on table next.%I is %L', relname, obj_description(oid, 'pg_class'))
        from live where obj_description(oid, 'pg_class') is not null
        union all
        select 3, format('comment on column next.%I.%I is %L', l.relname, c.attname, col_description(l.oid, c.attnum))
        from live l join pg_attribute c on c.attrelid = l.oid where col_description(l.oid, c.attnum) is not null
        union all
        select 4, format('alter table next.%I replica identity %s', l.relname, case l.relreplident
                         when 'f' then 'full' when 'n' then 'nothing' else format('using index %I', i.relname) end)
        from live l
        left join (pg_index x join pg_class i on i.oid = x.indexrelid and x.indisreplident) on x.indrelid = l.oid
        where l.relreplident <> 'd'
        union all
        select 5, format('alter publication %I add table next.%I%s%s', p.pubname, l.relname,
                         case when to_jsonb(m) ->> 'prattrs' is not null then (
                             select format(' (%s)', string_agg(quote_ident(name), ', '))
                             from jsonb_array_elements_text(to_jsonb(t) -> 'attnames') name) end,
                         ' where (' || (to_jsonb(t) ->> 'rowfilter') || ')')
        from live l
        join pg_publication_rel m on m.prrelid = l.oid
        join pg_publication p on p.oid = m.prpubid and pg_has_role(p.pubowner, 'usage')
        left join pg_publication_tables t on (t.pubname, t.schemaname, t.tablename) = (p.pubname, 'live', l.relname)
        union all
        select 6, format('grant create on schema next to %I; alter table next.%I owner to %1$I',
                         pg_get_userbyid(relowner), relname)
        from live
        where relowner <> next_owner and pg_has_role(relowner, case
            when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
    )
    select coalesce(string_agg(statement, '; ' order by step), '') from statements";

/// To be executed in the swap's transaction, before the tables change places.
pub async fn statements(client: &Client) -> Result<String, Error> {
    Ok(query_one(client, STATEMENTS, &[]).await?.get(0))
}

/// Only a publication's owner can change it.
const OTHERS: &str = "
    select p.pubname::text, c.relname::text
    from pg_publication_rel m
    join pg_publication p on p.oid = m.prpubid and not pg_has_role(p.pubowner, 'usage')
    join pg_class c on c.oid = m.prrelid and c.relnamespace = $1::text::regnamespace
    order by 1, 2";

/// After the swap: which publications are about to lose a table, because they are not ours to change.
pub async fn warn_of_others(client: &Client, retired: &str) -> Result<(), Error> {
    for row in query(client, OTHERS, &[&retired]).await? {
        let (publication, table): (&str, &str) = (row.get(0), row.get(1));
        tracing::warn!(
            publication,
            table,
            "live.{table} was replayed and is no longer in the publication {publication}, which belongs to another role; let its owner say: alter publication {publication} add table live.{table}"
        );
    }
    Ok(())
}
