SELECT * FROM renew_lease(
    %(worker_id)s, %(key)s, %(lease)s, %(left)s, %(gap)s, CAST(%(succeeded)s AS text[]), CAST(%(job_ids)s AS bigint[])
)
