-- Turns are not for the function to tell: workers of the version before know what it returns.
SELECT *, EXISTS (SELECT FROM recovery WHERE next_at <= now()) AS turns_due FROM renew_lease(
    %(worker_id)s, %(key)s, %(lease)s, %(left)s, %(gap)s, CAST(%(succeeded)s AS text[]), CAST(%(job_ids)s AS bigint[])
)
