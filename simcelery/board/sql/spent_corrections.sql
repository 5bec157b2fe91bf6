-- Of each handler, how often it has corrected since the parameters are these; and of these corrections, how many
-- the input still has from an attempt and from those that this one continues.
WITH RECURSIVE chain AS (
    SELECT CAST(%(attempt)s AS integer) AS attempt
    UNION
    SELECT continues FROM restarts JOIN chain USING (attempt) WHERE job_id = %(job_id)s
)
SELECT handler, count(*) AS spent, count(chain.attempt) AS kept
FROM corrections LEFT JOIN chain USING (attempt)
WHERE job_id = %(job_id)s
    AND attempt > coalesce((SELECT max(last_attempt) FROM revisions WHERE job_id = %(job_id)s), 0)
GROUP BY handler
