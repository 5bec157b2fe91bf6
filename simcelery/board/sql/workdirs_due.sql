-- Jobs whose workdirs on this host are to be dealt with now; and those on hosts without a live worker, since these may
-- share a file system with this one: for a week, since they may as well be gone for ever.
SELECT job_id, host, workdirs.ended_at, workdirs.host <> %(host)s AS elsewhere
FROM workdirs
WHERE done IS NULL AND next_at <= now() AND (
    host = %(host)s OR (
        workdirs.ended_at > now() - interval '7 days' AND NOT EXISTS (
            SELECT FROM workers
            WHERE workers.ended_at IS NULL AND workers.host = workdirs.host AND lease_expires_at > now()
        )
    )
)
ORDER BY next_at
LIMIT %(most)s
