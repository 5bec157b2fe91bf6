-- The fuse of a sweep: jobs behind this gate have failed. If there are too many now, the gate is closed, in the
-- transaction of the failure that was one too many; `hold` then moves what has not begun.
--
-- fails_left is how many more may certainly fail. What has failed and ended is counted only where that many have,
-- so a failure costs one update, however large the sweep; one that is retried counts no longer. Of a
-- percentage, nothing is said before five have failed. No number that a gate may hold keeps the jobs behind
-- it, or those that are finished together with them, from ending.
CREATE OR REPLACE FUNCTION count_failures(p_gate bigint, p_new bigint) RETURNS void LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
DECLARE
    v_gate record;
    v_failed bigint;
    v_ended bigint;
    v_left bigint;
BEGIN
    UPDATE gates SET fails_left = greatest(fails_left, -1000000000) - p_new
        WHERE id = p_gate AND closed_by IS NULL AND fails_left IS NOT NULL
        RETURNING * INTO v_gate;
    IF NOT FOUND OR v_gate.fails_left >= 0 THEN
        RETURN;
    END IF;
    SELECT count(*) INTO v_failed FROM jobs
        WHERE gate_id = p_gate AND state = 'failed' AND finished_at > v_gate.counts_from;
    IF v_gate.max_fails IS NOT NULL THEN
        v_left := greatest(v_gate.max_fails, -1) - v_failed;
    ELSIF v_gate.max_fails_percent >= 0 AND v_gate.max_fails_percent < 100 THEN
        SELECT v_failed + count(*) INTO v_ended FROM jobs
            WHERE gate_id = p_gate AND state = 'succeeded' AND finished_at > v_gate.counts_from;
        -- Even if all that end from now on fail.
        v_left := greatest(4 - v_failed, least(1000000000, floor(
            (v_gate.max_fails_percent * v_ended / 100 - v_failed) / (1 - v_gate.max_fails_percent / 100)
        )));
    ELSE
        v_left := 1000000000; -- so much can never fail
    END IF;
    UPDATE gates SET
        fails_left = v_left,
        closed_by = CASE WHEN v_left < 0 THEN 'fuse' END,
        changed_at = CASE WHEN v_left < 0 THEN now() ELSE changed_at END
    WHERE id = p_gate;
END
$$
