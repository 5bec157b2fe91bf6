-- Of each queue with pending jobs: for how many seconds the one that has waited longest has been waiting, as far as that is
-- known: since it was submitted or due, its last attempt or last parent ended, or its gate was opened. Of each lane the first
-- ones are looked at, in the order in which they are claimed, and of each of them some parents.
SELECT lane.queue, greatest(0, max(seconds_between(waits.since, now()))) AS seconds
FROM (
    SELECT queue, workflow, priority FROM pending_lanes() CROSS JOIN generate_series(0, 9) AS priority
) AS lane
CROSS JOIN LATERAL (
    (
        SELECT id, submitted_at, run_at, gate_id FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL
            AND jobs.queue = lane.queue AND jobs.workflow = lane.workflow AND jobs.priority = lane.priority
        ORDER BY published_at LIMIT 10
    ) UNION ALL (
        SELECT id, submitted_at, run_at, gate_id FROM jobs WHERE state = 'pending' AND published_at IS NULL
            AND jobs.queue = lane.queue AND jobs.workflow = lane.workflow AND jobs.priority = lane.priority
        ORDER BY id LIMIT 10
    )
) AS early
CROSS JOIN LATERAL (
    SELECT greatest(
        early.submitted_at,
        early.run_at,
        (SELECT max(attempts.finished_at) FROM attempts WHERE attempts.job_id = early.id),
        (
            SELECT max(ended.finished_at) FROM (
                SELECT parent.finished_at FROM dependencies JOIN jobs AS parent ON parent.id = dependencies.parent_id
                WHERE dependencies.job_id = early.id LIMIT 100
            ) AS ended
        ),
        (SELECT gates.changed_at FROM gates WHERE gates.id = early.gate_id)
    ) AS since
) AS waits
WHERE isfinite(waits.since)
GROUP BY lane.queue
