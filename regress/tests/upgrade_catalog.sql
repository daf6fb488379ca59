-- Everything of the extension that an upgrade could leave different from a fresh installation, one line each.
WITH member AS (
    SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
    FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'chancy' AND d.deptype = 'e'
), relation AS (
    SELECT m.name, c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
)
SELECT name, 'comment', obj_description(objid, (classid::regclass)::name) FROM member
UNION ALL
SELECT m.name, 'function', concat_ws(' ', pg_get_functiondef(p.oid), p.probin, p.prosrc, p.proacl)
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
UNION ALL
SELECT name, 'relation', concat_ws(' ', relkind, relpersistence, reloptions, relrowsecurity, relacl) FROM relation
UNION ALL
SELECT r.name, 'view', pg_get_viewdef(r.oid) FROM relation r WHERE relkind IN ('v', 'm')
UNION ALL
SELECT r.name, 'column ' || a.attnum, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation,
       a.attnotnull, a.attgenerated, a.attidentity, (SELECT string_agg(o, ',') FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg\_attver=%'),
       pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum))
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
UNION ALL
SELECT r.name, 'index', pg_get_indexdef(indexrelid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT r.name, 'constraint ' || conname, pg_get_constraintdef(k.oid) FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
UNION ALL
SELECT r.name, 'trigger', pg_get_triggerdef(t.oid) FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT tgisinternal
UNION ALL
SELECT r.name, 'dumped where', (SELECT c FROM pg_extension e, unnest(extconfig, extcondition) AS u (t, c) WHERE u.t = r.oid AND e.extname = 'chancy')
FROM relation r
ORDER BY 1, 2, 3;
