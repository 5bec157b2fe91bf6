"""How much work a queue has, for autoscalers: a function only, which every upgrade installs."""

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    pass
