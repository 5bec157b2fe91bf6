"""Limits: how many jobs of a tag, a workflow or a queue may run at the same time, and what waits for them."""

from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE limits (
            name TEXT NOT NULL,
            most INTEGER NOT NULL,
            set_by TEXT NOT NULL,
            set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT limits_pkey PRIMARY KEY (name),
            CONSTRAINT limits_most_sane CHECK (most >= 0)
        );

        CREATE TABLE throttled (
            job_id BIGINT NOT NULL,
            limit_name TEXT NOT NULL,
            queue TEXT NOT NULL,
            workflow TEXT NOT NULL,
            priority SMALLINT NOT NULL,
            woken_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT throttled_pkey PRIMARY KEY (job_id),
            CONSTRAINT throttled_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );

        CREATE INDEX throttled_next ON throttled (limit_name, queue, workflow, priority DESC, job_id);

        CREATE INDEX throttled_woken ON throttled (job_id) WHERE woken_at IS NOT NULL;

        ALTER TABLE jobs
            DROP CONSTRAINT jobs_blocked_has_unmet,
            ADD CONSTRAINT jobs_blocked_has_unmet CHECK (
                unmet >= 0 AND (
                    unmet > 0 OR state <> 'blocked' OR gate_id IS NOT NULL OR published_at IS NOT NULL
                )
            ) NOT VALID;
        """
    )
