-- Which job a message leads to on a board with limits, or in a queue that is shared: the one that it names, unless a limit keeps that from
-- running; then it is throttled, and another one of its workflow and queue is looked for (next_job). Locks
-- the job that it gives. Gives nothing if none may run. p_fitting: as of fitting_needs; NULL: nobody needs anything. p_left and
-- p_fresh: as of fits_in_time.
--
-- Whoever is about to take a place of a limit waits here for whoever does so at the same time, until that one's
-- transaction has ended, and counts only then: so two never take the last place. Nothing waits for a job's row
-- while it holds this lock. A claim that was lost in a crash of Postgres would free a place that is in use: such a
-- claim waits for the disk.
--
-- In a queue that is shared it is never the named job that counts, but whose turn it is. Where that job has no message
-- of its own, the one that is used up is sent again.
--
-- What was throttled comes first where it comes first by priority and id: what was submitted since does not
-- overtake it.
CREATE OR REPLACE FUNCTION choose_job(p_task_id uuid, p_workflow text, p_queue text, p_least integer, p_fitting bigint[], p_left double precision, p_fresh boolean)
RETURNS TABLE (chosen uuid, alone boolean) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    v_job record;
    v_limits text[];
    v_full text;
    v_earlier record;
    v_gone boolean;
    v_next bigint;
    v_by text := (SELECT by FROM shares WHERE queue = p_queue);
BEGIN
    SELECT id, task_id, queue, priority, tags INTO v_job FROM jobs
        WHERE task_id = p_task_id AND workflow || '' = p_workflow AND state || '' = 'pending'
            AND (needs_id IS NULL OR needs_id = ANY (p_fitting))
            AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
            AND (p_left IS NULL OR fits_in_time(p_left, p_fresh, id))
        FOR UPDATE;
    v_gone := v_by IS NOT NULL OR NOT FOUND;
    FOR tries IN 1..20 LOOP
        IF v_gone THEN
            v_next := CASE WHEN v_by IS NULL THEN next_job(p_workflow, p_queue, p_least, p_fitting, p_left, p_fresh)
                ELSE fair_job(p_workflow, p_queue, p_least, v_by, p_fitting, p_left, p_fresh) END;
            SELECT id, task_id, queue, priority, tags INTO v_job FROM jobs WHERE id = v_next;
            EXIT WHEN NOT FOUND;
            UPDATE jobs SET published_at = NULL, publish_count = 0 -- its message is used up for one that has none
                WHERE v_by IS NOT NULL
                    AND id = (
                        SELECT id FROM jobs WHERE task_id = p_task_id AND state || '' = 'pending'
                        FOR UPDATE SKIP LOCKED
                    )
                    AND id <> v_next AND EXISTS (SELECT FROM jobs WHERE id = v_next AND published_at IS NULL);
        END IF;
        v_limits := limits_of(p_workflow, v_job.queue, v_job.tags);
        IF v_limits = '{}' THEN
            RETURN QUERY SELECT v_job.task_id, v_by IS NOT NULL;
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(7233004);
        SET LOCAL synchronous_commit TO DEFAULT;
        v_full := full_limit(v_limits);
        IF v_full IS NULL THEN
            SELECT its.* INTO v_earlier FROM unnest(v_limits) AS limit_of(name) CROSS JOIN LATERAL (
                SELECT jobs.id, jobs.task_id, jobs.state, jobs.priority, jobs.queue, jobs.tags
                FROM (
                    SELECT * FROM throttled AS waiting
                    WHERE waiting.limit_name = limit_of.name AND waiting.queue = v_job.queue
                        AND waiting.workflow = p_workflow
                        AND (
                            waiting.priority > v_job.priority
                            OR (waiting.priority = v_job.priority AND waiting.job_id < v_job.id)
                        )
                    ORDER BY waiting.priority DESC, waiting.job_id
                    LIMIT CASE WHEN p_left IS NOT NULL THEN 100 END -- nobody else claims meanwhile
                ) AS waiting CROSS JOIN LATERAL (
                    SELECT * FROM jobs WHERE id = waiting.job_id OFFSET 0
                ) AS jobs
                WHERE (state = 'pending' OR (state = 'blocked' AND unmet = 0))
                    AND (needs_id IS NULL OR needs_id = ANY (p_fitting))
                    AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
                    AND (p_left IS NULL OR fits_in_time(p_left, p_fresh, id))
                ORDER BY waiting.priority DESC, waiting.job_id LIMIT 1
            ) AS its
            ORDER BY its.priority DESC, its.id LIMIT 1;
            IF v_by IS NULL AND v_earlier.id IS NOT NULL AND full_limit(limits_of(p_workflow, v_earlier.queue, v_earlier.tags)) IS NULL
                AND EXISTS (SELECT FROM jobs WHERE id = v_earlier.id AND state || '' = v_earlier.state
                    FOR UPDATE SKIP LOCKED)
            THEN
                IF v_earlier.state = 'blocked' THEN -- no message is under way for it: this one is needed again
                    UPDATE jobs SET state = 'pending' WHERE id = v_earlier.id AND state || '' = 'blocked';
                    UPDATE jobs SET published_at = NULL, publish_count = 0 WHERE id = v_job.id;
                END IF;
                v_job := v_earlier;
            END IF;
            DELETE FROM throttled WHERE job_id = v_job.id;
            RETURN QUERY SELECT v_job.task_id, true;
            RETURN;
        END IF;
        PERFORM throttle_jobs(v_full, v_job.id, p_workflow, v_job.queue);
        v_gone := true;
    END LOOP;
END
$$
