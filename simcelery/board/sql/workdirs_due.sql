-- Jobs whose workdirs a worker with this root on this host may deal with now. Those that are under it are due at once.
-- Others on this host may be those of another home, whose workers have a minute, from each time, to do it; and those on
-- hosts without a live worker may share a file system with this one. Both for a week, since they may as well be gone.
SELECT job_id, host, workdirs.ended_at, workdirs.host <> %(host)s AS elsewhere
FROM workdirs
WHERE done IS NULL AND next_at <= now() AND (
    host = %(host)s AND EXISTS (
        SELECT FROM attempts
        WHERE attempts.job_id = workdirs.job_id AND attempts.host = workdirs.host
            AND starts_with(attempts.workdir, %(root)s || '/')
    ) OR workdirs.ended_at > now() - interval '7 days' AND CASE WHEN host = %(host)s
        THEN next_at < now() - interval '1 min'
        ELSE NOT EXISTS (
            SELECT FROM workers
            WHERE workers.ended_at IS NULL AND workers.host = workdirs.host AND lease_expires_at > now()
        )
    END
)
ORDER BY next_at
LIMIT %(most)s
