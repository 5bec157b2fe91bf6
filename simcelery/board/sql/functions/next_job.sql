-- Which pending job takes the place of one that is gone, for a message of its lane: of those that are at least as urgent as
-- the message, what was sent longest ago, or never. Locks it. NULL: there is none, or the first one is behind a closed
-- gate, or none of the first ones fits (p_fitting, as of fitting_needs; NULL: nobody needs anything).
--
-- A worker with an end (p_left and p_fresh, as of fits_in_time) gets the first that ends in time of those that first_of_lane
-- knows. They are asked one by one: a list of ids in a condition is no way into an index, and the whole lane would be read.
--
-- Its plans are made under the settings of whoever calls it: see finish_attempts.
CREATE OR REPLACE FUNCTION next_job(p_workflow text, p_queue text, p_least integer, p_fitting bigint[], p_left double precision, p_fresh boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    IF p_fitting IS NOT NULL AND NOT fits_among_first(p_queue, p_workflow, p_least, p_fitting) THEN
        RETURN NULL;
    END IF;
    IF p_left IS NOT NULL THEN
        FOREACH v_id IN ARRAY first_of_lane(p_queue, p_workflow, p_least, p_left) LOOP
            CONTINUE WHEN NOT fits_in_time(p_left, p_fresh, v_id);
            PERFORM FROM jobs
                WHERE id = v_id AND state || '' = 'pending' AND (needs_id IS NULL OR needs_id = ANY (p_fitting))
                    AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))
                FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                RETURN v_id;
            END IF;
        END LOOP;
        RETURN NULL;
    END IF;
    WITH sent AS MATERIALIZED (
        SELECT id, priority, gate_id, attempt, 1 AS rank FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NOT NULL
            AND (needs_id IS NULL OR needs_id = ANY (p_fitting))
        ORDER BY priority DESC, published_at
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ),
    unsent AS MATERIALIZED (
        SELECT id, priority, gate_id, attempt, 2 AS rank FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NULL
            AND (needs_id IS NULL OR needs_id = ANY (p_fitting))
        ORDER BY priority DESC, id
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ),
    next AS (
        SELECT * FROM (TABLE sent UNION ALL TABLE unsent) AS found ORDER BY priority DESC, rank LIMIT 1
    )
    SELECT id INTO v_id FROM next WHERE gate_id IS NULL OR may_begin(gate_id, id, attempt);
    RETURN v_id;
END
$$
