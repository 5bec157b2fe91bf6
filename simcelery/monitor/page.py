"""What every page has: a login, strict headers, questions to the board, and errors that say what to do."""

from __future__ import annotations

import logging
from typing import Any

from flower.views import BaseHandler
from tornado.web import HTTPError

from simcelery.errors import JobNotFoundError, SchemaError, ServiceError, SimceleryError
from simcelery.monitor import access, assets

log = logging.getLogger(__name__)


class Page(BaseHandler):  # type: ignore[misc]
    """A page of the board; `place` is its entry among them."""

    place = ""

    @property
    def back(self) -> tuple[str, str]:
        """Where an error leads back to: an address, and what is there."""
        return self.reverse_url("board"), "the board"

    def set_default_headers(self) -> None:
        """Ours only: Flower may let other sites read its own."""
        for name, value in access.HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Before any method: who may not see the board is answered at once."""
        access.check(self)

    def check_xsrf_cookie(self) -> None:
        """Before whatever changes something: also before `prepare`."""
        access.check(self)
        access.check_origin(self)

    def get_template_namespace(self) -> dict[str, Any]:
        """What templates may use besides what they are given."""
        namespace: dict[str, Any] = super().get_template_namespace()
        return namespace | namespace_of(self.application) | {"place": self.place}

    def write_error(self, status_code: int, **about: Any) -> None:
        """An error as a page; what is not for the reader is in the log only."""
        error = about.get("exc_info", (None, None))[1]
        if status_code == 401:
            super().write_error(status_code, **about)
            return
        if isinstance(error, SimceleryError):
            self.set_status(status_of(error))
            said = str(error)
        elif isinstance(error, HTTPError) and error.log_message:
            said = error.log_message
        else:
            said = self._reason or "something went wrong"
        self.render("board/problem.html", said=said, back=self.back)

    def log_exception(self, *error: Any) -> None:
        """Ours are one line."""
        if isinstance(error[1], SimceleryError):
            log.warning("%s %s: %s", self.request.method, self.request.path, error[1])
        else:
            super().log_exception(*error)


def namespace_of(application: Any) -> dict[str, Any]:
    """The same for what is rendered for everybody."""
    return {
        "link": application.reverse_url,
        "asset": lambda name: assets.address(application, name),
    }


def status_of(error: SimceleryError) -> int:
    """The HTTP status that says whose fault it is."""
    if isinstance(error, JobNotFoundError):
        return 404
    return 503 if isinstance(error, ServiceError | SchemaError) else 400
