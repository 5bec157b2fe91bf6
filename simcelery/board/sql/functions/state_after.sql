-- The state of a job whose attempt has ended so: that of the first line which holds.
-- A cancel wins over everything but a success; p_may_retry: the error is one that another attempt may mend.
CREATE OR REPLACE FUNCTION state_after(
    p_outcome text, p_cancelled boolean, p_may_retry boolean,
    p_failures integer, p_max_attempts integer, p_losses integer, p_max_losses integer
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE
    WHEN p_outcome = 'succeeded'                                                 THEN 'succeeded'
    WHEN p_outcome = 'cancelled' OR p_cancelled                                  THEN 'cancelled'
    WHEN p_outcome = 'failed'    AND p_may_retry AND p_failures < p_max_attempts THEN 'scheduled'
    WHEN p_outcome = 'failed'                                                    THEN 'failed'
    WHEN p_outcome = 'lost'      AND p_losses <= p_max_losses                    THEN 'pending'
    WHEN p_outcome = 'lost'                                                      THEN 'failed'
    WHEN p_outcome = 'released'                                                  THEN 'pending'
END
$$
