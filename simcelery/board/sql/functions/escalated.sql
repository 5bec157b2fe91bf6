-- One of the attempts of `escalate`, with what is decided about its job.
CREATE OR REPLACE FUNCTION escalated(p_one jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_job record;
    v_now float8; -- bytes or seconds
    v_next float8; -- the same for the next attempt; NULL: its rule is about the queue alone
    v_before jsonb := '{}';
    v_after jsonb := '{}';
    v_tried text;
BEGIN
    SELECT jobs.id, attempt, queue, coalesce(time_limit, soft_time_limit) AS seconds, memory,
        to_jsonb(needs) AS needs, escalation->(p_one->>'cause') AS rule
    INTO v_job
    FROM jobs JOIN needs ON needs.id = needs_id
    WHERE jobs.id = (p_one->>'id')::bigint AND jobs.claim_id = (p_one->>'claim_id')::uuid
        AND state || '' = 'running' AND cancel_requested_at IS NULL;
    IF NOT FOUND OR v_job.rule IS NULL THEN
        RETURN p_one;
    END IF;
    v_now := CASE WHEN v_job.rule ? 'memory' THEN v_job.memory ELSE v_job.seconds END;
    v_next := least(
        v_now * coalesce((v_job.rule->>'memory')::float8, (v_job.rule->>'time_limit')::float8),
        (v_job.rule->>'max')::float8 -- exactly: a byte less would grow again, and never reach it
    );
    IF v_job.rule ? 'memory' AND floor(v_next) > v_now THEN
        v_before := jsonb_build_object('memory', v_job.memory);
        v_after := jsonb_build_object('memory', floor(v_next)::bigint);
    ELSIF v_job.rule ? 'time_limit' AND v_next > v_now THEN
        v_before := jsonb_build_object('time_limit', v_job.seconds);
        v_after := jsonb_build_object('time_limit', v_next);
    END IF;
    IF v_job.rule->>'queue' <> v_job.queue THEN
        v_before := v_before || jsonb_build_object('queue', v_job.queue);
        v_after := v_after || jsonb_build_object('queue', v_job.rule->>'queue');
    END IF;
    IF v_after = '{}' AND v_next IS NULL THEN
        RETURN p_one; -- it is in its queue already: such an end counts as always
    END IF;
    IF v_after = '{}' THEN
        SELECT string_agg(in_units(what, number), ', ' ORDER BY number) INTO v_tried
        FROM (
            SELECT DISTINCT what, number FROM (
                SELECT key AS what, value::text::float8 AS number FROM escalations, jsonb_each(before)
                    WHERE job_id = v_job.id AND cause = p_one->>'cause' AND key <> 'queue'
                UNION ALL
                SELECT 'memory', v_job.memory WHERE v_job.rule ? 'memory'
                UNION ALL
                SELECT 'time_limit', v_job.seconds WHERE v_job.rule ? 'time_limit'
            ) AS each
        ) AS tried;
        RETURN (p_one - 'retry_in') || jsonb_build_object(
            'error_message', concat_ws('; ', p_one->>'error_message', 'tried ' || v_tried || ', which is the most')
        );
    END IF;
    UPDATE jobs SET
        needs_id = CASE WHEN v_after ? 'memory' THEN needs_of(v_job.needs || v_after) ELSE needs_id END,
        time_limit = CASE WHEN v_after ? 'time_limit' THEN v_next * (time_limit / v_now) ELSE time_limit END,
        soft_time_limit = CASE WHEN v_after ? 'time_limit' THEN v_next * (soft_time_limit / v_now) ELSE soft_time_limit END,
        queue = coalesce(v_after->>'queue', queue)
    WHERE id = v_job.id;
    INSERT INTO escalations (job_id, attempt, cause, before, after)
        VALUES (v_job.id, v_job.attempt, p_one->>'cause', v_before, v_after);
    RETURN p_one || '{"escalated": true}';
END
$$
