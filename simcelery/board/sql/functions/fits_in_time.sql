-- Whether a job ends before a worker does that has so many seconds left (NULL: its time is not limited), or is tried there
-- since the worker has just begun (is_fresh, expected_time). A job of which nobody knows how long it takes fits everywhere.
CREATE OR REPLACE FUNCTION fits_in_time(p_left double precision, p_fresh boolean, p_job_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_takes record;
BEGIN
    IF p_left IS NULL THEN
        RETURN true;
    END IF;
    SELECT * INTO v_takes FROM expected_time(p_job_id);
    RETURN coalesce(CASE WHEN p_fresh THEN v_takes.tried_from ELSE v_takes.seconds END <= p_left, true);
END
$$
