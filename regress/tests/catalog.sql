WITH member AS (
    SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
    FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'chancy' AND d.deptype = 'e'
), function AS (
    SELECT m.name, p.* FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
), relation AS (
    SELECT m.name, c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
)
SELECT name || ' has no comment'
FROM member
WHERE obj_description(objid, (classid::regclass)::name) IS NULL
  -- What a table or a domain makes by itself.
  AND NOT (classid = 'pg_type'::regclass AND EXISTS (
      SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
      WHERE t.oid = objid AND (t.typelem <> 0 OR c.relkind <> 'c')))
UNION ALL
-- A body in C resolves no names by the search path unless it sets one; BEGIN ATOMIC is bound when it is created.
SELECT name || ' has no pinned search_path'
FROM function JOIN pg_language l ON l.oid = prolang
WHERE lanname <> 'c' AND prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(proconfig) s WHERE s LIKE 'search\_path=%')
UNION ALL
SELECT name || ' is written in PL/pgSQL'
FROM function JOIN pg_language l ON l.oid = prolang
WHERE lanname = 'plpgsql'
UNION ALL
SELECT name || ' can be executed by PUBLIC'
FROM function, LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner))) g
WHERE g.grantee = 0
UNION ALL
SELECT name || ' is granted to PUBLIC: ' || g.privilege_type
FROM relation, LATERAL aclexplode(relacl) g
WHERE g.grantee = 0
UNION ALL
-- Their values are oids that change from one major version to the next.
SELECT format('%s: pg_upgrade refuses a column of type %s: %s', r.name, atttypid::regtype, attname)
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
WHERE r.relkind IN ('r', 'i') AND NOT a.attisdropped
  AND atttypid::regtype::text IN ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure')
ORDER BY 1;
