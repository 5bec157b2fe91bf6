-- What jobs held of allocations, and for which end. For each worker there is the number of its allocation, from when to when
-- that ran, how it ended and when. How jobs are joined, and what is summed up, comes in place of the comments.
--
-- An attempt counts as far as it lies within its allocation: a worker that was lost may have been missed only later. How many
-- cores it held is what the job asks for, else one. Of the jobs that a process claimed together, one runs at a time.
--
-- Whether it lies there at all is asked behind OFFSET 0: Postgres would expect that of few, and look for their jobs one by one.
WITH served AS (
    SELECT * FROM unnest(
        %(workers)s::bigint[], %(spans)s::bigint[], %(known)s::timestamptz[], %(stop)s::timestamptz[], %(causes)s::text[],
        %(ends)s::timestamptz[]
    ) AS given(worker_id, span, known, stop, cause, ended_at)
),
held AS (
    SELECT * FROM (
        SELECT served.span,
            CASE
                WHEN attempts.outcome = 'succeeded' THEN 'succeeded'
                WHEN attempts.outcome = 'failed' AND attempts.cause IS DISTINCT FROM 'out_of_memory' THEN 'failed'
                ELSE 'lost'
            END AS kind,
            -- Workers know only that they were told to end, or nothing; the scheduler knows why.
            CASE
                WHEN attempts.cause IN ('worker_lost', 'shutdown')
                    AND served.cause IN ('walltime', 'out_of_memory', 'node_failure', 'preempted')
                    AND attempts.finished_at > served.ended_at - interval '1 min' THEN served.cause
                ELSE coalesce(attempts.cause, attempts.outcome)
            END AS cause,
            seconds_between(
                greatest(attempts.started_at, served.known), least(attempts.finished_at, served.stop)
            ) AS seconds,
            /* cores */ AS cores,
            CASE WHEN attempts.cpu_seconds BETWEEN 0 AND 1e12 THEN attempts.cpu_seconds END / nullif(greatest(seconds_between(
                greatest(attempts.started_at, '2000-01-01'), least(attempts.finished_at, now())
            ), 0), 0) AS load, -- CPU time in a second
            /* label */ AS labels
        FROM attempts
        JOIN served ON served.worker_id = attempts.worker_id
        /* join */ jobs ON jobs.id = attempts.job_id
        LEFT JOIN needs ON needs.id = jobs.needs_id
        WHERE attempts.finished_at >= now() - make_interval(secs => %(since)s)
            AND attempts.started_at < now() - make_interval(secs => %(until)s)
        OFFSET 0
    ) AS ended
    WHERE seconds >= 0
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (jobs.worker_id, jobs.pid) served.span, 'running', NULL,
            greatest(seconds_between(greatest(jobs.started_at, served.known), served.stop), 0), /* cores */,
            NULL::float8, /* label */
        FROM served
        JOIN jobs ON jobs.worker_id = served.worker_id AND jobs.state = 'running'
        LEFT JOIN needs ON needs.id = jobs.needs_id
        WHERE jobs.started_at < served.stop
        ORDER BY jobs.worker_id, jobs.pid, jobs.started_at, jobs.id
    ) AS running
)
/* sums */
