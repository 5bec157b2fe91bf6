-- How many jobs of the subscription are in each state, and how long ago the last of them was recorded, became
-- due, began or ended.
SELECT job.state, count(*) AS number, min(seconds_between(greatest(
    job.submitted_at, job.started_at, job.finished_at, CASE WHEN job.run_at <= now() THEN job.run_at END
), now())) AS quiet
FROM subscriptions AS mine, unnest(mine.jobs) AS part
JOIN jobs AS job ON job.id >= lower(part) AND job.id < upper(part)
WHERE mine.id = %(subscription)s
GROUP BY job.state
ORDER BY job.state
