"""Steps are found by what they were given, and checkpoints have a table of their own."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    # Nothing has ever been written to what goes: no version could.
    op.execute("DROP TABLE steps")
    op.execute("ALTER TABLE jobs DROP COLUMN checkpoint")
    op.execute(
        """
        CREATE TABLE steps (
            job_id BIGINT NOT NULL,
            name TEXT NOT NULL,
            key TEXT NOT NULL,
            code TEXT NOT NULL,
            given JSONB NOT NULL,
            output JSONB NOT NULL,
            attempt INTEGER NOT NULL,
            seconds DOUBLE PRECISION NOT NULL,
            saved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT steps_pkey PRIMARY KEY (job_id, name, key),
            CONSTRAINT steps_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );

        CREATE TABLE checkpoints (
            job_id BIGINT NOT NULL,
            attempt INTEGER NOT NULL,
            state JSONB NOT NULL,
            saved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT checkpoints_pkey PRIMARY KEY (job_id),
            CONSTRAINT checkpoints_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );
        """
    )
