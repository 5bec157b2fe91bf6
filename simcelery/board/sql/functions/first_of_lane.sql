-- The pending jobs of a lane, or of more urgent ones, among which one is looked for that ends in time, in the order in which
-- they are claimed: of those that were sent and of the others the first p_most, and half as many of the last; and as
-- many of those with the shortest time request, as far as it is not longer than p_left. So the short jobs of one are found
-- behind the long ones of another, who has the same workflow where both submit commands; and a million that take too long
-- are not all looked at.
CREATE OR REPLACE FUNCTION first_of_lane(
    p_queue text, p_workflow text, p_least integer, p_left double precision, p_most integer DEFAULT 500
) RETURNS bigint[] LANGUAGE sql STABLE AS $$
SELECT ARRAY(
    SELECT id FROM (
        (
            SELECT id, priority, published_at FROM jobs
            WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                AND state = 'pending' AND published_at IS NOT NULL
            ORDER BY priority DESC, published_at LIMIT p_most
        ) UNION (
            SELECT id, priority, published_at FROM jobs
            WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                AND state = 'pending' AND published_at IS NULL
            ORDER BY priority DESC, id LIMIT p_most
        ) UNION (
            SELECT id, priority, published_at FROM jobs
            WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                AND state = 'pending' AND published_at IS NOT NULL
            ORDER BY priority, published_at DESC LIMIT p_most / 2
        ) UNION (
            SELECT id, priority, published_at FROM jobs
            WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                AND state = 'pending' AND published_at IS NULL
            ORDER BY priority, id DESC LIMIT p_most / 2
        ) UNION (
            SELECT id, priority, published_at FROM jobs
            WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                AND state = 'pending' AND time_request <= floor(p_left)::bigint
            ORDER BY time_request LIMIT p_most / 2
        )
    ) AS found
    ORDER BY priority DESC, published_at NULLS LAST, id
)
$$
