-- How long jobs waited that finished in each of so many intervals of a window, the oldest first: the median of the last
-- few of each interval, of those with a single attempt. A time is 0 if Postgres's clock was set back in between.
SELECT (
  SELECT percentile_cont(0.5) WITHIN GROUP (
      ORDER BY CASE WHEN started_at < due THEN 0 ELSE seconds_between(due, started_at) END
    ) FILTER (WHERE state IN ('succeeded', 'failed') AND attempt = 1)
  FROM (
    SELECT jobs.state, jobs.attempt, jobs.started_at, greatest(jobs.submitted_at, jobs.run_at) AS due
    FROM jobs
    WHERE jobs.finished_at > now() - make_interval(secs => %(step)s) * back
      AND jobs.finished_at <= now() - make_interval(secs => %(step)s) * (back - 1)
    ORDER BY jobs.finished_at DESC
    LIMIT %(most)s
  ) AS recent
) AS waited
FROM generate_series(1, %(number)s::integer) AS back
ORDER BY back DESC
