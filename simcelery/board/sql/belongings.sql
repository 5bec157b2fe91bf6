-- What the board is made of: its tables, their sequences and its functions, each with its owner.
WITH board AS (
    SELECT relnamespace AS oid, quote_ident(nspname) AS name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = 'jobs'::regclass
)
SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
    format('%%s.%%I', board.name, relname) AS name, pg_get_userbyid(relowner) AS owner,
    -- Those of identity columns belong to whoever owns their table.
    relkind = 'S' AND relname NOT IN ('task_id_sequence', 'taskset_id_sequence') AS follows
FROM pg_class JOIN board ON relnamespace = board.oid
WHERE (relkind = 'r' AND relname = ANY (%(tables)s::text[]))
    OR (relkind = 'S' AND (relname IN ('task_id_sequence', 'taskset_id_sequence') OR EXISTS (
        SELECT FROM pg_depend JOIN pg_class AS of_table ON of_table.oid = refobjid
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND objid = pg_class.oid
            AND of_table.relnamespace = board.oid AND of_table.relname = ANY (%(tables)s::text[])
    )))
UNION ALL
SELECT 'FUNCTION', format('%%s.%%I(%%s)', board.name, proname, pg_get_function_identity_arguments(pg_proc.oid)),
    pg_get_userbyid(proowner), false
FROM pg_proc JOIN board ON pronamespace = board.oid
WHERE proname = ANY (%(functions)s::text[]) OR pg_proc.oid IN (SELECT tgfoid FROM pg_trigger)
ORDER BY kind DESC, name
