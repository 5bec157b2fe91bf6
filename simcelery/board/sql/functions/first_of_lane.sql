-- The first pending jobs of a lane, or of a more urgent one: 500 of those that were sent, and of the others.
CREATE OR REPLACE FUNCTION first_of_lane(p_queue text, p_workflow text, p_least integer) RETURNS bigint[] LANGUAGE sql STABLE AS $$
SELECT ARRAY(
    (
        SELECT id FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NOT NULL
        ORDER BY priority DESC, published_at LIMIT 500
    ) UNION ALL (
        SELECT id FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NULL
        ORDER BY priority DESC, id LIMIT 500
    )
)
$$
