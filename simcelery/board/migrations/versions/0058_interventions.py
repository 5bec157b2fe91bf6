"""Who has cancelled, retried, held or released a job by hand."""

from alembic import op

revision = "0058"
down_revision = "0057"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE interventions (
            job_id BIGINT NOT NULL,
            at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            kind TEXT NOT NULL,
            by TEXT NOT NULL,
            CONSTRAINT interventions_pkey PRIMARY KEY (job_id, at, kind),
            CONSTRAINT interventions_kind_known CHECK (kind IN ('cancel', 'retry', 'hold', 'release')),
            CONSTRAINT interventions_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        )
        """
    )
