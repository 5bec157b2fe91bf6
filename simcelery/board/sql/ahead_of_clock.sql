-- Each is found at the end of an index, or among few rows.
SELECT max(found) FILTER (WHERE kind = 'turn') AS "turns of recovery",
    max(found) FILTER (WHERE kind = 'lease') AS "renewals of leases",
    max(found) FILTER (WHERE kind = 'submitted') AS "submissions",
    max(found) FILTER (WHERE kind = 'finished') AS "ends of jobs"
FROM (
    SELECT 'turn' AS kind, seconds_between(now(), next_at) AS found FROM recovery
    WHERE isfinite(next_at) AND next_at > now() + interval '10 min'
    UNION ALL SELECT 'lease', seconds_between(now(), renewed_at) FROM workers WHERE ended_at IS NULL AND isfinite(renewed_at)
    UNION ALL (SELECT 'submitted', seconds_between(now(), submitted_at) FROM jobs WHERE isfinite(submitted_at)
               ORDER BY id DESC LIMIT 1)
    UNION ALL (SELECT 'finished', seconds_between(now(), finished_at) FROM jobs
               WHERE finished_at IS NOT NULL AND isfinite(finished_at) ORDER BY finished_at DESC LIMIT 1)
) AS latest
WHERE found > %(margin)s
