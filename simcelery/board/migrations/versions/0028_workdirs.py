"""What becomes of the workdirs of a job, and where some wait for that."""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE jobs ADD COLUMN keep TEXT;

        CREATE TABLE workdirs (
            job_id BIGINT NOT NULL,
            host TEXT NOT NULL,
            ended_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            next_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            done TEXT,
            done_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT workdirs_pkey PRIMARY KEY (job_id, host),
            CONSTRAINT workdirs_done_known CHECK (done IN ('removed', 'compressed')),
            CONSTRAINT workdirs_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );
        CREATE INDEX workdirs_due ON workdirs (next_at) WHERE done IS NULL;
        """
    )
