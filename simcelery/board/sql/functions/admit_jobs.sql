-- blocked -> pending for jobs that were throttled, as many as there are places now, but at most p_most of a lane; gives
-- them. Nobody knows which of several lanes a worker serves, so each gets as many as if the places were its own:
-- what comes too late is throttled again. Those that were woken before and are still pending count.
--
-- A job's row is locked before its row in `throttled`, by everybody.
CREATE OR REPLACE FUNCTION admit_jobs(p_most integer)
RETURNS TABLE (id bigint, task_id uuid, workflow text, queue text, priority smallint) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_lane record;
    v_room bigint;
    v_found bigint[];
    v_woken bigint[];
BEGIN
    DELETE FROM throttled WHERE woken_at IS NOT NULL AND job_id = ANY (ARRAY(
        SELECT waiting.job_id FROM throttled AS waiting CROSS JOIN LATERAL (
            SELECT state FROM jobs WHERE jobs.id = waiting.job_id OFFSET 0 FOR UPDATE SKIP LOCKED
        ) AS its
        WHERE woken_at IS NOT NULL AND its.state <> 'pending'
    ));
    FOR v_lane IN
        WITH RECURSIVE lanes (name, queue, workflow) AS (
            (SELECT limit_name, queue, workflow FROM throttled ORDER BY limit_name, queue, workflow LIMIT 1)
            UNION ALL
            SELECT following.* FROM lanes CROSS JOIN LATERAL (
                SELECT limit_name, queue, workflow FROM throttled
                WHERE (throttled.limit_name, throttled.queue, throttled.workflow) > (lanes.name, lanes.queue, lanes.workflow)
                ORDER BY limit_name, queue, workflow LIMIT 1
            ) AS following
        )
        SELECT lanes.*, coalesce(
            (SELECT most - limit_used(limits.name) FROM limits WHERE limits.name = lanes.name), p_most
        ) AS free
        FROM lanes
    LOOP
        SELECT least(v_lane.free, p_most) - count(*) INTO v_room FROM throttled
            WHERE limit_name = v_lane.name AND queue = v_lane.queue AND workflow = v_lane.workflow
                AND woken_at IS NOT NULL;
        CONTINUE WHEN v_room <= 0;
        v_found := ARRAY(
            SELECT its.id FROM (
                SELECT job_id FROM throttled
                WHERE limit_name = v_lane.name AND queue = v_lane.queue AND workflow = v_lane.workflow
                    AND woken_at IS NULL
                ORDER BY priority DESC, job_id LIMIT v_room
            ) AS waiting
            CROSS JOIN LATERAL (
                SELECT id FROM jobs WHERE jobs.id = waiting.job_id OFFSET 0 FOR UPDATE SKIP LOCKED
            ) AS its
        );
        WITH woken AS (
            UPDATE jobs SET state = 'pending', published_at = NULL, publish_count = 0
            WHERE jobs.id = ANY (v_found) AND state || '' = 'blocked' AND unmet = 0
            RETURNING jobs.id
        )
        SELECT coalesce(array_agg(woken.id), '{}') INTO v_woken FROM woken;
        DELETE FROM throttled WHERE job_id = ANY (v_found) AND NOT job_id = ANY (v_woken);
        UPDATE throttled SET woken_at = now() WHERE job_id = ANY (v_woken);
        RETURN QUERY
            SELECT jobs.id, jobs.task_id, jobs.workflow, jobs.queue, jobs.priority FROM jobs
            WHERE jobs.id = ANY (v_woken) ORDER BY jobs.priority DESC, jobs.id;
    END LOOP;
END
$$
