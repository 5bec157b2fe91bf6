"""The URL of a board means the same with SQLAlchemy and without."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from simcelery.board import faults
from simcelery.urls import check_postgres, postgres_arguments

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
ESCAPED = WORDS.map(lambda text: quote(text, safe=""))
# What is typed as it is, where a percent sign begins no escape.
TYPED = st.text("abc:/?#[]%!~ü", min_size=1, max_size=8)
HOSTS = st.sampled_from(["", "localhost", "db.example.org", "[::1]", "127.0.0.1"])
QUERIES = st.sampled_from(
    [
        *("", "?", "?sslmode=verify-full&sslrootcert=system", "?host=/var/run/postgresql", "?host=a&port=1"),
        *(
            "?host=a:1&host=b:2",
            "?host=a,b&port=1,2",
            "?host=a:1",
            "?host=a&host=b",
            "?options=",
            "?a=b%20c+d",
        ),
        "?target_session_attrs=read-write&host=a,b",
    ]
)


@given(
    st.sampled_from(["postgresql", "postgres", "postgresql+psycopg"]),
    st.none() | st.tuples(ESCAPED, st.none() | ESCAPED | TYPED),
    HOSTS,
    st.none() | st.integers(1, 65535),
    st.none() | ESCAPED,
    QUERIES,
)
def test_the_driver_is_told_what_sqlalchemy_would_tell_it(
    scheme: str, who: tuple[str, str | None] | None, host: str, port: int | None, name: str | None, query: str
) -> None:
    url = f"{scheme}://"
    if who is not None:
        url += who[0] + ("" if who[1] is None else f":{who[1]}") + "@"
    url += host + ("" if port is None else f":{port}") + ("" if name is None else f"/{name}") + query
    check_postgres(url)
    made = make_url(url)
    dialect = PGDialect_psycopg()
    _, expected = dialect.create_connect_args(made)
    told = {key: str(value) for key, value in expected.items() if key not in ("context", "client_encoding")}
    assert postgres_arguments(url) == told
    assert faults.address(url) == f"{made.host or 'localhost'}:{made.port or 5432}/{made.database or ''}"


@pytest.mark.parametrize("secret", ["hunter2", "p:/?#w", "%40"])
def test_an_address_holds_no_password(secret: str) -> None:
    assert faults.address(f"postgresql://me:{secret}@h:1/d?password=x") == "h:1/d"
