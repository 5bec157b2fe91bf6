-- Who has taken an id holds this lock until its transaction ends.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'jobs_id_seq'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
