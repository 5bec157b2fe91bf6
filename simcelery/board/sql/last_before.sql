-- An id such that all jobs recorded in the last %(of_back)s seconds have a larger one.
-- Ids grow with time, so it is found by bisection. An index on the time would cost every transition.
WITH RECURSIVE search (low, high) AS (
  SELECT CAST(0 AS bigint), (SELECT max(id) FROM jobs)
  UNION ALL
  SELECT CASE WHEN older THEN middle ELSE low END, CASE WHEN older THEN high ELSE middle END
  FROM (
    SELECT low, high, (low + high) / 2 AS middle,
      (SELECT submitted_at FROM jobs WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1)
        < now() - make_interval(secs => %(of_back)s) AS older
    FROM search WHERE high - low > 1
  ) AS step
)
SELECT max(low) FROM search
