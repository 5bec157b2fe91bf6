"""Which attempts went on from the files of which earlier one."""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE restarts (
            job_id BIGINT NOT NULL,
            attempt INTEGER NOT NULL,
            continues INTEGER NOT NULL,
            files TEXT NOT NULL,
            CONSTRAINT restarts_pkey PRIMARY KEY (job_id, attempt, continues),
            CONSTRAINT restarts_earlier CHECK (continues < attempt),
            CONSTRAINT restarts_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        );
        """
    )
