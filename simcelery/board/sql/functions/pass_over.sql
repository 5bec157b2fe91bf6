-- Note that a job did not fit on a worker which could run it if nothing else ran there: from now on others overtake it.
CREATE OR REPLACE FUNCTION pass_over(p_worker_id bigint, p_task_id uuid, p_fitting bigint[]) RETURNS void LANGUAGE sql AS $$
INSERT INTO passed_over (job_id)
    SELECT jobs.id FROM jobs JOIN needs ON needs.id = needs_id JOIN workers ON workers.id = p_worker_id
    WHERE task_id = p_task_id AND state || '' = 'pending' AND needs_id <> ALL (p_fitting)
        AND coalesce(needs.cores, 0) <= workers.cores AND coalesce(needs.memory, 0) <= workers.memory
        AND coalesce(needs.gpus, 0) <= cardinality(workers.gpus)
        AND fits_in_time(seconds_between(now(), workers.ends_at), is_fresh(workers), jobs.id)
    ON CONFLICT DO NOTHING
$$
