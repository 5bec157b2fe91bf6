-- pending -> running: the job that the message names; then others of its workflow and queue. A forged message
-- cannot run a job as another workflow.
--
-- Where the named job is gone, any job of the same workflow and queue takes its place, as long as it is at
-- least as urgent as the message (next_job), so that no lost message starves behind messages that slices have made
-- stale. It may be one that never travels with others.
--
-- A job with losses or with needs never travels with others; the condition is that of the index jobs_slice. Nor
-- does one that many others wait for: whoever finishes it has more to do. Of the others only as many are taken as
-- their parameters fit together into a child's memory.
--
-- What a job needs of its node must be free on this worker (fitting_needs); boards on which no job ever needed
-- anything are not asked. When a job first did not fit is noted (pass_over), so that others do not overtake it for ever.
--
-- What takes longer than this worker's allocation lasts is left to others (fits_in_time); workers without an end are not
-- asked. Of a slice, what does not fit stays where it is.
--
-- What waits at a closed gate and has not been moved yet is left alone. It is looked at only once it has been
-- chosen: where many such jobs come first, a message may find nothing, for a moment, and its job is sent again.
--
-- Where there are limits, or the queue is shared, choose_job says which job it is; none that a limit holds for, or of
-- a queue that is shared, travels with others.
--
-- Where a limit holds for this worker's host, nobody else of that host claims until this transaction has ended. Such a claim
-- waits for the disk: one that was lost in a crash of Postgres would free a place that is in use.
--
-- The number of a worker alone does not say who claims: a board that was restored gives it out again.
--
-- For the settings, and for `|| ''`, see finish_attempts.
CREATE OR REPLACE FUNCTION claim_jobs(
    p_task_id uuid, p_workflow text, p_claim_id uuid, p_worker_id bigint, p_pid integer,
    p_queue text, p_least integer, p_more integer, p_registration uuid
) RETURNS SETOF jobs LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    v_choose boolean;
    v_limited boolean;
    v_left double precision;
    v_fresh boolean;
    v_host text;
    v_chosen record;
    v_fitting bigint[];
    v_next bigint;
    v_found boolean;
    v_granted bigint := 0;
BEGIN
    SELECT EXISTS (SELECT FROM limits), EXISTS (SELECT FROM shares WHERE queue = p_queue), seconds_between(now(), ends_at),
            is_fresh(workers)
        INTO v_limited, v_choose, v_left, v_fresh FROM workers
        WHERE id = p_worker_id AND registration = p_registration
            AND ended_at IS NULL AND lease_expires_at > now();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF v_limited THEN
        SELECT host INTO v_host FROM host_limit(p_worker_id);
        IF FOUND THEN
            PERFORM pg_advisory_xact_lock(7233005, hashtext(v_host));
            SET LOCAL synchronous_commit TO DEFAULT;
            IF host_is_full(p_worker_id, p_pid) THEN
                RETURN;
            END IF;
        END IF;
        v_choose := v_choose OR EXISTS (SELECT FROM limits WHERE name NOT LIKE 'host:%');
    END IF;
    IF v_choose THEN
        v_fitting := CASE WHEN EXISTS (SELECT FROM needs) THEN fitting_needs(p_worker_id, p_task_id) END;
        SELECT * INTO v_chosen FROM choose_job(p_task_id, p_workflow, p_queue, p_least, v_fitting, v_left, v_fresh);
        IF NOT FOUND THEN
            PERFORM pass_over(p_worker_id, p_task_id, v_fitting);
            RETURN;
        END IF;
        p_claim_id := CASE v_chosen.chosen WHEN p_task_id THEN p_claim_id ELSE gen_random_uuid() END;
        p_task_id := v_chosen.chosen;
        p_more := CASE WHEN v_chosen.alone THEN 0 ELSE p_more END;
    END IF;
    RETURN QUERY
        UPDATE jobs
        SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
            claim_id = p_claim_id, started_at = now(), progress = NULL
        WHERE task_id = p_task_id AND workflow || '' = p_workflow AND state || '' = 'pending'
            AND cancel_requested_at IS NULL AND needs_id IS NULL AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
            AND (v_left IS NULL OR fits_in_time(v_left, v_fresh, id))
        RETURNING jobs.*;
    IF NOT FOUND AND EXISTS (SELECT FROM needs) THEN
        v_fitting := fitting_needs(p_worker_id, p_task_id);
        RETURN QUERY
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = p_claim_id, started_at = now(), progress = NULL
            WHERE task_id = p_task_id AND workflow || '' = p_workflow AND state || '' = 'pending'
                AND needs_id = ANY (v_fitting)
                AND cancel_requested_at IS NULL AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
                AND (v_left IS NULL OR fits_in_time(v_left, v_fresh, id))
            RETURNING jobs.*;
    END IF;
    IF NOT FOUND AND NOT v_choose THEN
        v_next := next_job(p_workflow, p_queue, p_least, v_fitting, v_left, v_fresh);
        RETURN QUERY
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = gen_random_uuid(), started_at = now(), progress = NULL
            WHERE id = v_next AND state || '' = 'pending'
            RETURNING jobs.*;
    END IF;
    v_found := FOUND;
    IF v_fitting IS NOT NULL THEN
        PERFORM pass_over(p_worker_id, p_task_id, v_fitting);
    END IF;
    IF v_found AND v_fitting <> '{}' THEN
        v_granted := grant_needs(p_worker_id);
    END IF;
    IF v_found AND p_more > 0 AND v_granted = 0 THEN
        RETURN QUERY
            WITH chosen AS MATERIALIZED (
                SELECT id, pg_column_size(parameters) AS size FROM jobs
                WHERE workflow = p_workflow AND queue = p_queue AND state = 'pending' AND losses = 0
                    AND needs_id IS NULL
                    AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id OFFSET 10)
                    AND (NOT v_choose OR limits_of(workflow, queue, tags) = '{}')
                ORDER BY priority DESC, id
                LIMIT p_more FOR UPDATE SKIP LOCKED
            ),
            fitting AS (
                SELECT id FROM (
                    SELECT id, sum(size) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM chosen
                ) AS summed
                WHERE total < 4194304 AND (v_left IS NULL OR fits_in_time(v_left, v_fresh, id))
            )
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = gen_random_uuid(), started_at = now(), progress = NULL
            FROM fitting WHERE jobs.id = fitting.id AND state || '' = 'pending'
                AND (gate_id IS NULL OR may_begin(gate_id, jobs.id, attempt))
            RETURNING jobs.*;
    END IF;
END
$$
