-- How long a job is expected to take, and on what that is based; see expected_time.sql.
SELECT expected_time(jobs.id) AS seconds, time_request IS NOT NULL AS requested,
    coalesce(alike.p90, every.p90) AS p90, coalesce(alike.successes, every.successes) AS successes,
    alike.p90 IS NOT NULL AS alike
FROM jobs
LEFT JOIN durations AS alike ON alike.workflow = jobs.workflow AND alike.tags = jobs.tags AND jobs.tags <> '{}'
LEFT JOIN durations AS every ON every.workflow = jobs.workflow AND every.tags = '{}'
WHERE jobs.id = %(id)s
