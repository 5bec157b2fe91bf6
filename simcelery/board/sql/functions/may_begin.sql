-- Whether a pending job may be claimed: its gate is open, or it is one of the canaries that the gate waits for.
-- One that has begun before goes on, whatever has become of its gate. Only what somebody holds by hand all waits.
CREATE OR REPLACE FUNCTION may_begin(p_gate bigint, p_job bigint, p_attempt integer) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM gates WHERE id = p_gate AND closed_by IS NOT NULL AND (
            closed_by = 'hand'
            OR p_attempt = 0 AND NOT EXISTS (SELECT FROM canaries WHERE gate_id = p_gate AND job_id = p_job)
        )
    );
END
$$
