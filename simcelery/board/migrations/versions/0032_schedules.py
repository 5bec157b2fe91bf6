"""Schedules: jobs that are recorded by cron expressions."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE schedules (
            name TEXT NOT NULL,
            cron TEXT NOT NULL,
            timezone TEXT NOT NULL,
            missed TEXT NOT NULL,
            job JSONB NOT NULL,
            parameters JSONB NOT NULL,
            submitted_by TEXT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            paused_at TIMESTAMP WITH TIME ZONE,
            next_at TIMESTAMP WITH TIME ZONE,
            last_at TIMESTAMP WITH TIME ZONE,
            last_job_id BIGINT,
            CONSTRAINT schedules_pkey PRIMARY KEY (name),
            CONSTRAINT schedules_missed_known CHECK (missed IN ('once', 'all', 'skip')),
            CONSTRAINT schedules_job_is_named CHECK (
                jsonb_typeof(job) = 'object' AND jsonb_typeof(parameters) = 'object'
            )
        );
        """
    )
