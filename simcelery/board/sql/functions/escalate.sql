-- Attempts that are about to be finished, none of them a success: those whose jobs get more for the next one. What
-- that gets is decided here, in the transaction of the finish, and noted in `escalations`. Such an end counts neither as
-- a failure nor as a loss; at the most that its rule allows it is an end like any other, but a final one, and
-- its message names all that was tried. Whatever a row says, the attempt is finished.
CREATE OR REPLACE FUNCTION escalate(p_ended jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM jobs JOIN needs ON needs.id = needs_id
        WHERE jobs.id = ANY (ARRAY(SELECT id FROM jsonb_to_recordset(p_ended) AS given(id bigint)))
            AND escalation IS NOT NULL
    ) THEN
        RETURN p_ended;
    END IF;
    RETURN (SELECT jsonb_agg(escalated(one) ORDER BY place)
        FROM jsonb_array_elements(p_ended) WITH ORDINALITY AS its(one, place));
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    RAISE WARNING 'jobs get no more than before for their next attempts: %', SQLERRM;
    RETURN p_ended;
END
$$
