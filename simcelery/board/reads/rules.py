"""Rules that several statements share, as SQL."""

from __future__ import annotations

# Of the table `jobs`: whether one is blocked behind a closed gate. A canary may only wait for its parents,
# unless somebody has closed the gate by hand.
HELD = """(
  jobs.state = 'blocked' AND jobs.gate_id IS NOT NULL
  AND EXISTS (SELECT FROM gates WHERE gates.id = jobs.gate_id AND gates.closed_by IS NOT NULL AND (
    gates.closed_by = 'hand'
    OR NOT EXISTS (SELECT FROM canaries WHERE canaries.gate_id = jobs.gate_id AND canaries.job_id = jobs.id)
  ))
)"""
# Of the table `workers`: whether one has not ended and its lease holds.
LIVE = "(workers.ended_at IS NULL AND workers.lease_expires_at > now())"
# Of the table `jobs` with its `needs`, joined from the left: how many cores one holds while it runs.
CORES = "coalesce(needs.cores, 1)"
