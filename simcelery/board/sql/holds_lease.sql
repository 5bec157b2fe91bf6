SELECT FROM workers
WHERE id = %(worker_id)s AND registration = %(registration)s
    AND ended_at IS NULL AND lease_expires_at > now()
