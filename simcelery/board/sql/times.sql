-- How long jobs waited and ran, by workflow: median, 90th percentile and maximum. Which jobs stands in place of
-- the comment below. A time is 0 if Postgres's clock was set back in between.
SELECT workflow,
  count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE state = 'failed') AS failed,
  count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE state = 'upstream_failed') AS upstream_failed,
  percentile_cont(ARRAY[0.5, 0.9, 1.0]) WITHIN GROUP (ORDER BY waited)
    FILTER (WHERE state IN ('succeeded', 'failed') AND attempt = 1) AS waiting,
  percentile_cont(ARRAY[0.5, 0.9, 1.0]) WITHIN GROUP (ORDER BY ran)
    FILTER (WHERE state IN ('succeeded', 'failed')) AS running
FROM (
  SELECT workflow, state, attempt,
    CASE WHEN started_at < due THEN 0 ELSE seconds_between(due, started_at) END AS waited,
    took AS ran
  FROM (/* recent */) AS recent
) AS lasted
GROUP BY workflow
ORDER BY workflow
