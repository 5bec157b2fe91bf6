-- What attempts have cost that ended because their worker's allocation did: how many, and core-seconds. Which jobs, and how
-- many cores each holds, comes in place of the comments below. One that was taken back late ended with its worker's lease at the
-- latest. Those that saved their work were not in vain; how much of it they saved, nobody knows.
SELECT count(*) AS attempts, count(*) FILTER (WHERE saved_its_work(attempts.job_id, attempts.attempt)) AS saved,
    coalesce(sum(
        greatest(seconds_between(attempts.started_at, least(attempts.finished_at, workers.lease_expires_at)), 0)
        * /* cores */
    ), 0)::double precision AS seconds
FROM attempts JOIN jobs ON jobs.id = attempts.job_id LEFT JOIN needs ON needs.id = jobs.needs_id
LEFT JOIN workers ON workers.id = attempts.worker_id
WHERE attempts.cause = 'walltime' AND attempts.finished_at > now() - make_interval(secs => %(window)s)
    AND /* wanted */
