-- Whether one of the first pending jobs of a lane, or of a more urgent one, fits: it needs nothing, or one of these rows
-- of `needs`. Where a million wait that do not, nobody looks at all of them: each is tried when its own message comes.
CREATE OR REPLACE FUNCTION fits_among_first(p_queue text, p_workflow text, p_least integer, p_fitting bigint[])
RETURNS boolean LANGUAGE sql AS $$
SELECT EXISTS (
    SELECT FROM (
        SELECT needs_id FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NOT NULL
        ORDER BY priority DESC, published_at LIMIT 100
    ) AS sent WHERE needs_id IS NULL OR needs_id = ANY (p_fitting)
) OR EXISTS (
    SELECT FROM (
        SELECT needs_id FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
            AND state = 'pending' AND published_at IS NULL
        ORDER BY priority DESC, id LIMIT 100
    ) AS unsent WHERE needs_id IS NULL OR needs_id = ANY (p_fitting)
)
$$
