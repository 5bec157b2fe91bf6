"""Settings: which source wins, and what a mistake in each of them says."""

from __future__ import annotations

import json
import os
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simcelery import settings
from simcelery.errors import ServicesNotRunningError, SettingsError
from simcelery.quantities import parse_duration, parse_size
from simcelery.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty current folder, no flags, and nothing remembered."""
    monkeypatch.setattr(settings, "_overrides", {})
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def write(text: str, where: str = ".") -> Path:
    file = Path(where, "simcelery.toml").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused() -> str:
    """The one line that reading the settings fails with."""
    with pytest.raises(SettingsError) as caught:
        get_settings()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_each_source_wins_over_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_settings().publish_window == 2000
    write("publish_window = 10\ndefault_queue = 'file'")
    settings.override({})
    assert get_settings().publish_window == 10
    monkeypatch.setenv("SIMCELERY_PUBLISH_WINDOW", "20")
    settings.override({})
    assert get_settings().publish_window == 20
    settings.override({"publish_window": 30, "default_queue": None})
    assert get_settings().publish_window == 30
    assert get_settings().default_queue == "file"


def test_the_nearest_file_of_this_folder_and_its_parents_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write("default_queue = 'far'")
    write("default_queue = 'near'", "a/b")
    Path("a/b/c/d").mkdir(parents=True)
    monkeypatch.chdir("a/b/c/d")
    assert get_settings().default_queue == "near"
    monkeypatch.chdir("../../..")
    settings.override({})
    assert get_settings().default_queue == "far"


def test_settings_are_read_once_until_they_are_overridden() -> None:
    assert get_settings() is get_settings()
    write("default_queue = 'late'")
    assert get_settings().default_queue == "default"
    settings.override({})
    assert get_settings().default_queue == "late"


def test_an_empty_variable_does_not_hide_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('default_queue = "file"\nworkflows = ["a"]\nlease = "30s"')
    for name in ("DEFAULT_QUEUE", "WORKFLOWS", "LEASE", "DATABASE_URL", "HOME"):
        monkeypatch.setenv(f"SIMCELERY_{name}", "")
    found = get_settings()
    assert (found.default_queue, found.workflows, found.lease, found.database_url) == (
        "file",
        ["a"],
        30.0,
        None,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "databse_url = 'postgresql://h/d'",
            "setting 'databse_url': there is no such setting; did you mean 'database_url'?",
        ),
        (
            "database-url = 'postgresql://h/d'",
            "setting 'database-url': there is no such setting; did you mean 'database_url'?",
        ),
        ("Lease = 3", "setting 'Lease': there is no such setting; did you mean 'lease'?"),
        ("zzz = 1", "setting 'zzz': there is no such setting ("),
        ("[simcelery]\nlease = 3", "setting 'simcelery': there is no such setting ("),
    ],
)
def test_a_typo_in_the_file_names_the_setting_that_was_meant(line: str, message: str) -> None:
    file = write(line)
    assert refused().startswith(message)
    assert refused().endswith(f"(from {file})")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("publish_window = 'many'", "'publish_window': must be an integer"),
        ("publish_window = 0", "'publish_window': must be at least 1"),
        ("lease = 'soon'", "'lease': 'soon' is not a duration: write 90, 1h30m or HH:MM:SS"),
        ("lease = 0", "'lease': must be greater than 0"),
        ("lease = -1", "'lease': must be greater than 0"),
        ("lease = true", "'lease': True is not a duration"),
        ("lease = [1]", "'lease': [1] is not a duration"),
        ("lease = inf", "'lease': inf is not a duration"),
        (
            "shutdown_grace = 01:30:00",
            "'shutdown_grace': datetime.time(1, 30) is not a duration: write 90, '1h30m'",
        ),
        ("renew_every = 25", "'renew_every': must be shorter than lease (20 s), but is 25 s"),
        ("max_payload = '8X'", "'max_payload': '8X' is not a size: write 8G, 512M or a number of bytes"),
        ("max_payload = 1.5", "'max_payload': 1.5 is not a size"),
        ("max_payload = 0", "'max_payload': must be greater than 0"),
        ("workflows = [1]", "'workflows': must be a string"),
        ("workflows = 1", "'workflows': must be a list"),
        ("prepared_statements = 'perhaps'", "'prepared_statements': must be a boolean"),
        ("home = 3", "'home': must be a path"),
        ("database_url = 'mysql://h/d'", "'database_url': must start with postgresql://"),
        ("broker_url = 'amqp://h'", "'broker_url': must start with redis://, rediss:// or sentinel://"),
    ],
)
def test_a_value_of_the_wrong_type_is_one_line_that_names_it(line: str, message: str) -> None:
    write(line)
    assert refused().startswith(f"setting {message}")


def test_a_mistake_says_which_source_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    write("lease = 'x'")
    assert refused().endswith(f"(from {Path.cwd()}/simcelery.toml)")
    monkeypatch.setenv("SIMCELERY_LEASE", "y")
    assert (
        refused()
        == "setting 'lease': 'y' is not a duration: write 90, 1h30m or HH:MM:SS (from SIMCELERY_LEASE)"
    )
    settings.override({"lease": "z"})
    assert refused().endswith("'z' is not a duration: write 90, 1h30m or HH:MM:SS (from a flag)")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"lease = ", "Invalid value"),
        (b"lease 3", "Expected '='"),
        (b"lease = 1\nlease = 2", "Cannot overwrite a value"),
        (b"home = '\xff'", "codec can't decode"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong_in_it(content: bytes, reason: str) -> None:
    Path("simcelery.toml").write_bytes(content)
    message = refused()
    assert message.startswith(f"{Path.cwd()}/simcelery.toml cannot be read: ")
    assert reason in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so() -> None:
    write("").chmod(0)
    assert refused().endswith("simcelery.toml cannot be read: Permission denied")


def test_a_deleted_folder_has_no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert settings.find_settings_file() is None


SECRET = "hunter2"


@pytest.mark.parametrize("source", ["file", "environment", "flag"])
@pytest.mark.parametrize(
    "url", [f"postgresql://me:{SECRET}@h/d", f"mysql://me:{SECRET}@h/d", f"me:{SECRET}@h"]
)
def test_a_password_is_never_shown(source: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "file":
        write(f"database_url = '{url}'")
    elif source == "environment":
        monkeypatch.setenv("SIMCELERY_DATABASE_URL", url)
    else:
        settings.override({"database_url": url})
    try:
        found = get_settings()
    except SettingsError as error:
        shown = f"{error} {error!r} {traceback.format_exc()}"
    else:
        shown = f"{found} {found!r} {vars(found)} {json.dumps(vars(found), default=str)}"
        assert found.board_url() == f"postgresql+psycopg://me:{SECRET}@h/d"
    assert SECRET not in shown
    assert "database_url" in shown


def test_a_password_is_not_shown_where_another_setting_is_wrong() -> None:
    write(f"broker_url = 'redis://:{SECRET}@h'\nlease = 'x'\ndatabase_url = ['{SECRET}']")
    assert SECRET not in refused()


def test_relative_paths_of_the_file_are_relative_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("home = 'data'\nworkdir_root = '../scratch'", "project")
    Path("project/deep").mkdir()
    root = Path.cwd()
    monkeypatch.chdir("project/deep")
    found = get_settings()
    assert found.home == root / "project/data"
    assert found.workdirs == root / "project/../scratch"


def test_relative_paths_of_the_environment_stay_where_they_were_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIMCELERY_HOME", "data")
    found = get_settings()
    before = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert found.home == before / "data"
    assert found.workdirs == before / "data/workdirs"


@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_tilde_is_the_home_folder(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    if source == "file":
        write("home = '~/sims'")
    else:
        monkeypatch.setenv("SIMCELERY_HOME", "~/sims")
    assert get_settings().home == Path("/home/me/sims")


@pytest.mark.parametrize("text", ["a.b,c", "a.b, c", " a.b c ", "a.b\n\tc,", ",a.b,,c"])
def test_workflows_may_be_separated_by_commas_and_spaces(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCELERY_WORKFLOWS", text)
    assert get_settings().workflows == ["a.b", "c"]


def test_workflows_of_the_file_may_be_a_list_or_text() -> None:
    write('workflows = ["a.b", "c"]')
    assert get_settings().workflows == ["a.b", "c"]
    write('workflows = "a.b c"')
    settings.override({})
    assert get_settings().workflows == ["a.b", "c"]


def test_durations_and_sizes_are_read_in_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    write('lease = "1m"\nmax_payload = "2M"\nretention = "30d"')
    monkeypatch.setenv("SIMCELERY_KILL_GRACE", "500ms")
    settings.override({"shutdown_grace": timedelta(minutes=1)})
    found = get_settings()
    assert (found.lease, found.max_payload, found.retention) == (60.0, 2 * 2**20, 30 * 86400.0)
    assert (found.kill_grace, found.shutdown_grace) == (0.5, 60.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        (" 1.5 ", 1.5),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("1d2h3m4s5ms", 93784.005),
        ("0.5h", 1800.0),
        ("24:00:00", 86400.0),
        ("1-02:03:04", 93784.0),
        (90, 90.0),
        (-1, -1.0),
        (timedelta(days=1), 86400.0),
    ],
)
def test_a_duration_is_read(text: Any, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "1x", "-5", "1h x", "h", "1:2", "90 s 1", "1e3", "nan", True, float("nan"), None, [1], b"9"],
)
def test_what_is_no_duration_says_how_to_write_one(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write 90, '?1h30m'? or '?HH:MM:SS'?$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 2**20),
        ("8G", 2**33),
        ("512m", 2**29),
        ("64KiB", 2**16),
        ("1.5 MB", 3 * 2**19),
        ("2T", 2**41),
        (5, 5),
    ],
)
def test_a_size_is_read(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "8X", "G", "-1", "1e3", True, 1.5, None])
def test_what_is_no_size_says_how_to_write_one(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a size: write '?8G'?, '?512M'? or a "):
        parse_size(text)


def test_without_urls_those_of_the_embedded_servers_are_used() -> None:
    found = Settings(home=Path.cwd())
    found.services_file.write_text('{"database_url": "postgresql://h/d", "broker_url": "redis://h"}')
    assert found.board_url() == "postgresql+psycopg://h/d"
    assert found.redis_url() == "redis://h"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "{", '"text"'])
def test_without_urls_and_servers_the_error_says_what_to_do(content: str | None) -> None:
    found = Settings(home=Path.cwd())
    if content is not None:
        found.services_file.write_text(content)
    for url, variable in (
        (found.board_url, "SIMCELERY_DATABASE_URL"),
        (found.redis_url, "SIMCELERY_BROKER_URL"),
    ):
        with pytest.raises(ServicesNotRunningError, match=f"run 'simcelery up', or set {variable}$"):
            url()


def test_a_byte_order_mark_in_the_file_is_no_part_of_it(folder: Path) -> None:
    (folder / "simcelery.toml").write_bytes(b'\xef\xbb\xbfdefault_queue = "cpu"\n')
    assert get_settings().default_queue == "cpu"
