-- What attempts have cost that ended because their worker's allocation did: how many, and core-seconds. Which jobs stands in
-- place of the comment below. A job that has not said how many cores it keeps busy counts with one.
SELECT count(*) AS attempts,
    coalesce(sum(
        greatest(extract(epoch FROM attempts.finished_at - attempts.started_at), 0)
        * coalesce((SELECT cores FROM needs WHERE needs.id = jobs.needs_id), 1)
    ), 0)::double precision AS seconds
FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.cause = 'walltime' AND attempts.finished_at > now() - make_interval(secs => %(window)s)
    AND /* wanted */
