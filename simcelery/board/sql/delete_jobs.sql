SELECT delete_jobs(CAST(%(ids)s AS bigint[]))
