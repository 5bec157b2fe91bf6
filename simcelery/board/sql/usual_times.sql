-- How long the last successes of each of these workflows ran: the newest %(newest)s of each.
-- Ordered by an expression that only jobs_succeeded has: for a workflow that Postgres has not counted yet,
-- it might otherwise read back through all that has ever finished.
SELECT asked.workflow, times.successes, times.median, times.p90
FROM unnest(%(workflows)s::text[]) AS asked (workflow)
CROSS JOIN LATERAL (
    SELECT count(*) AS successes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS median,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY took) AS p90
    FROM (
        SELECT job_took(jobs) AS took
        FROM jobs
        WHERE jobs.workflow = asked.workflow AND state = 'succeeded'
        ORDER BY (finished_at AT TIME ZONE 'UTC') DESC
        LIMIT %(newest)s
    ) AS newest
) AS times
WHERE times.successes > 0
