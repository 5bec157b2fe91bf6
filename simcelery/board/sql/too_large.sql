-- Pending jobs that need more than some live worker has, by lane and by what they need. Mostly there is no such row of
-- `needs`, and no job is looked at.
SELECT queue, workflow, needs.cores, needs.memory, needs.gpus, count(*) AS number, min(jobs.id) AS first
FROM jobs JOIN needs ON needs.id = needs_id
WHERE jobs.state = 'pending' AND needs_id = ANY (ARRAY(
    SELECT needs.id FROM needs
    WHERE EXISTS (
        SELECT FROM workers
        WHERE /* live */ AND (
            workers.cores IS NULL OR needs.cores > workers.cores OR needs.memory > workers.memory
            OR needs.gpus > coalesce(cardinality(workers.gpus), 0)
        )
    )
)) AND /* wanted */
GROUP BY queue, workflow, needs.cores, needs.memory, needs.gpus
ORDER BY min(jobs.id)
