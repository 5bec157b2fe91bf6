-- pending | scheduled -> blocked for those behind this gate that have not begun. Their messages have no meaning
-- any more; once they are released, others are sent. By their gate they are found quickest: no other order.
WITH found AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE gate_id = %(gate)s AND state IN ('pending', 'scheduled') AND NOT may_begin(gate_id, id, attempt)
    LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET state = 'blocked', published_at = NULL, publish_count = 0
FROM found WHERE jobs.id = found.id AND state || '' IN ('pending', 'scheduled')
RETURNING jobs.id
