"""What handlers have corrected in the input of programs."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE corrections (
            job_id BIGINT NOT NULL,
            number INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            handler TEXT NOT NULL,
            error TEXT NOT NULL,
            changes TEXT NOT NULL,
            difference TEXT NOT NULL,
            made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT corrections_pkey PRIMARY KEY (job_id, number),
            CONSTRAINT corrections_changes_known CHECK (changes IN ('numerics', 'physics')),
            CONSTRAINT corrections_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );
        """
    )
