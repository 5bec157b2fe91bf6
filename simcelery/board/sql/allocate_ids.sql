-- As one array: a row for each id would take longer to read than the id to make. The inner SELECT looks for the
-- sequence once instead of once per id.
SELECT array_agg(nextval((SELECT pg_get_serial_sequence('jobs', 'id')::regclass)))
FROM generate_series(1, %(count)s)
