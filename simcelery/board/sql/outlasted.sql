-- Note of which workflows an attempt was cut short that had an allocation from its beginning, lately: see expected_time.
INSERT INTO durations AS known (workflow, tags, successes, outlasted_at)
SELECT jobs.workflow, '{}', 0, max(attempts.finished_at)
FROM attempts JOIN jobs ON jobs.id = attempts.job_id JOIN workers ON workers.id = attempts.worker_id
WHERE cause = 'walltime' AND attempts.finished_at > now() - make_interval(secs => %(lately)s)
    AND seconds_between(workers.started_at, attempts.started_at)
        <= 0.05 * seconds_between(workers.started_at, workers.ends_at)
    AND NOT saved_its_work(job_id, attempts.attempt)
GROUP BY jobs.workflow
ORDER BY jobs.workflow
ON CONFLICT (workflow, tags) DO UPDATE SET outlasted_at = excluded.outlasted_at
    WHERE known.outlasted_at IS DISTINCT FROM excluded.outlasted_at
