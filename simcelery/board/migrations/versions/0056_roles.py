"""Workers delete jobs that have ended through a function, `delete_jobs`; all functions are installed anew."""

revision = "0056"
down_revision = "0055"


def upgrade() -> None:
    pass
