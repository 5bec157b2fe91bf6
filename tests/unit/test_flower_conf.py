"""flower.conf, read in the order in which Flower reads its options. Who may see the jobs is decided here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tornado.options
from flower.options import default_options
from tornado.options import OptionParser

CONF = Path(__file__).parents[2] / "flower.conf"
Read = Callable[..., OptionParser]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Flower's options after it has read the file, given its command line and the environment."""

    def read(*arguments: str, **environment: str) -> OptionParser:
        for name in [name for name in os.environ if name.startswith("SIMCELERY_FLOWER_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        options = OptionParser()
        for known in default_options._options.values():
            if known.name not in options:
                options.define(known.name, known.default, known.type, multiple=known.multiple)
        monkeypatch.setattr(tornado.options, "options", options)
        options.parse_command_line(["flower", *arguments])
        options.parse_config_file(str(CONF), final=False)
        options.parse_command_line(["flower", *arguments])
        return options

    return read


def refused(read: Read, capsys: pytest.CaptureFixture[str], *arguments: str, **environment: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        read(*arguments, **environment)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("flower.conf: ")
    assert error.count("\n") == 1
    return error


def test_it_listens_on_the_loopback_without_being_told(read: Read) -> None:
    options = read()
    assert options.address == "127.0.0.1"
    assert options.port == 5555
    assert options.basic_auth == []


def test_empty_variables_are_unset(read: Read) -> None:
    options = read(SIMCELERY_FLOWER_ADDRESS="", SIMCELERY_FLOWER_PORT="", SIMCELERY_FLOWER_AUTH="")
    assert (options.address, options.port, options.basic_auth) == ("127.0.0.1", 5555, [])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_loopback_has_many_names(read: Read, address: str) -> None:
    assert read(SIMCELERY_FLOWER_ADDRESS=address).address == address


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "host.example.org", "127.0.0.1.nip.io"])
def test_the_network_needs_a_password(read: Read, capsys: pytest.CaptureFixture[str], address: str) -> None:
    error = refused(read, capsys, SIMCELERY_FLOWER_ADDRESS=address)
    assert address in error
    assert "SIMCELERY_FLOWER_AUTH" in error
    options = read(SIMCELERY_FLOWER_ADDRESS=address, SIMCELERY_FLOWER_AUTH="ada:lovelace")
    assert (options.address, options.basic_auth) == (address, ["ada:lovelace"])


@pytest.mark.parametrize("argument", ["--address=0.0.0.0", "--address="])
def test_the_command_line_is_no_way_around(
    read: Read, capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    assert "0.0.0.0" in refused(read, capsys, argument)


def test_the_command_line_wins(read: Read) -> None:
    options = read("--port=7000", "--max_tasks=5", SIMCELERY_FLOWER_PORT="6000")
    assert (options.port, options.max_tasks) == (7000, 5)


def test_a_password_may_hold_commas_and_colons(read: Read) -> None:
    assert read(SIMCELERY_FLOWER_AUTH="ada:a,b:c").basic_auth == ["ada:a,b:c"]


@pytest.mark.parametrize("auth", ["ada", "ada:", ":lovelace", ":", "ada:lövelace"])
def test_a_login_that_nobody_or_anybody_could_use(
    read: Read, capsys: pytest.CaptureFixture[str], auth: str
) -> None:
    error = refused(read, capsys, SIMCELERY_FLOWER_AUTH=auth)
    assert auth == ":" or auth not in error, "the password is not printed"


@pytest.mark.parametrize("port", ["http", "-1", "65536", "5555 ", "²"])
def test_a_port_is_a_number(read: Read, capsys: pytest.CaptureFixture[str], port: str) -> None:
    assert "SIMCELERY_FLOWER_PORT" in refused(read, capsys, SIMCELERY_FLOWER_PORT=port)


def test_it_keeps_no_history_and_bounded_memory(read: Read) -> None:
    options = read()
    assert not options.persistent
    assert options.max_tasks <= 10_000
    assert options.purge_offline_workers
