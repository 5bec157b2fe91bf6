-- What attempts have cost that ended because their worker's allocation did: how many, and core-seconds. Which jobs, and how
-- many cores each holds, comes in place of the comments below.
SELECT count(*) AS attempts,
    coalesce(sum(
        greatest(extract(epoch FROM attempts.finished_at - attempts.started_at), 0)
        * /* cores */
    ), 0)::double precision AS seconds
FROM attempts JOIN jobs ON jobs.id = attempts.job_id LEFT JOIN needs ON needs.id = jobs.needs_id
WHERE attempts.cause = 'walltime' AND attempts.finished_at > now() - make_interval(secs => %(window)s)
    AND /* wanted */
