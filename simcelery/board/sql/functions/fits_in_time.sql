-- Whether a job ends before a worker does that has so many seconds left; NULL: the worker's time is not limited. A job of
-- which nobody knows how long it takes fits everywhere.
CREATE OR REPLACE FUNCTION fits_in_time(p_left double precision, p_job_id bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_left IS NULL OR coalesce(expected_time(p_job_id) <= p_left, true);
END
$$
