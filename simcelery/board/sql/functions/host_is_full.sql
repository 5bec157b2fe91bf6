-- Whether a limit of its host keeps this pool child from running a job. What others of the host claim meanwhile is seen only
-- by whoever holds the lock that claim_jobs takes.
CREATE OR REPLACE FUNCTION host_is_full(p_worker_id bigint, p_pid bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM host_limit(p_worker_id) AS its WHERE host_used(its.host, p_worker_id, p_pid) >= its.most
    );
END
$$
