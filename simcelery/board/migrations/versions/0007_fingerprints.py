"""Which job has these parameters already: the version it was recorded with, and hashes that are computed when
somebody looks."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Jobs that were recorded before count as version 1, which is that of workflows that declare none. Neither
# the default nor the empty table rewrites anything: this takes the same on a board of any size.
STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN version TEXT NOT NULL DEFAULT '1'",
    "CREATE TABLE fingerprints (job_id BIGINT PRIMARY KEY, fingerprint BIGINT NOT NULL)",
    "CREATE INDEX fingerprints_fingerprint ON fingerprints (fingerprint)",
    # Not a foreign key: it would lock the job of each row that is written.
    """
    CREATE FUNCTION forget_fingerprints() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            TRUNCATE fingerprints;
        ELSE
            DELETE FROM fingerprints WHERE job_id = ANY (ARRAY(SELECT id FROM gone));
        END IF;
        RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER forget_fingerprints AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone "
    "FOR EACH STATEMENT EXECUTE FUNCTION forget_fingerprints()",
    "CREATE TRIGGER forget_all_fingerprints AFTER TRUNCATE ON jobs "
    "FOR EACH STATEMENT EXECUTE FUNCTION forget_fingerprints()",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
