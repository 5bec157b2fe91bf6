"""A worker that goes on with older files than those who submit: the command line says so, and its log."""

from __future__ import annotations

from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

COMMANDS = (("doctor",), ("workers",), ("explain", "last"))


def edit(project: Project, name: str = "sims.py") -> None:
    """Change a file, as an editor does."""
    file = project.folder / name
    file.write_text(file.read_text() + "\n# an improvement\n")


def said(project: Project, *command: str) -> str:
    """What a command says, in one line."""
    return " ".join(project.run("simcelery", *command, COLUMNS="200").stdout.split())


def test_a_worker_with_older_files_than_the_submitter_is_named_until_it_is_restarted(
    project: Project,
) -> None:
    (project.folder / "helpers.py").write_text("x = 1\n")
    sims = project.folder / "sims.py"
    sims.write_text(sims.read_text().replace("import os\n", "import os\nimport helpers\n", 1))
    worker = project.worker()
    submit(project, "add.submit(0)").result(timeout=within(60))
    for command in COMMANDS:
        assert " older " not in said(project, *command)
    for number, changed in enumerate(("helpers.py", "sims.py"), 1):
        edit(project, changed)
        submit(project, f"add.submit({number})").result(timeout=within(60))
        for command in COMMANDS:
            text = said(project, *command)
            assert "w0@" in text
            assert " older sims.py" in text, text
            assert "restart it" in text
        worker.terminate()
        worker.wait(within(60))
        project.processes.clear()
        worker = project.worker()
    submit(project, "add.submit(3)").result(timeout=within(60))
    for command in COMMANDS:
        assert " older " not in said(project, *command)


def test_a_worker_notices_that_its_own_files_change(project: Project) -> None:
    """Nobody has submitted anything with the new ones."""
    project.worker("-c", "1", level=())
    edit(project)
    wait_until(lambda: "has changed since this worker started" in project.logs(), 60)
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    project.folder = elsewhere  # doctor has no file to compare with
    for command in ("doctor", "workers"):
        assert "older sims.py: that file, or one it imports, has changed" in said(project, command)


def test_who_fixes_a_workflow_and_sends_jobs_is_told_which_workers_have_it_as_it_was(
    project: Project,
) -> None:
    sims = project.folder / "sims.py"
    sims.write_text(f"{sims.read_text()}\n@workflow\ndef broken() -> int:\n    return 1 // 0\n")
    project.worker("-c", "1")
    number = project.run("simcelery", "submit", "sims.broken", "-o", "quiet").stdout.strip()
    wait_until(lambda: sql("SELECT state FROM jobs") == [("failed",)], 60)
    sims.write_text(sims.read_text().replace("1 // 0", "1"))
    told = said(project, "explain", number)
    assert "w0@" in told
    # The worker itself notices a little later.
    either = (
        "a different sims.py (or a file it imports) than the one here",
        "has changed on disk since then",
    )
    assert any(words in told for words in either), told
    for command in (
        ("retry", number),
        ("submit", "sims.add", "a=1"),
        ("submit", "sims.add", "a=2", "--wait"),
    ):
        done = project.run("simcelery", *command)
        assert done.returncode == 0
        assert len([line for line in done.stderr.splitlines() if " sims.py" in line]) == 1, done.stderr
        assert "restart it" in done.stderr
    assert project.run("simcelery", "submit", "--", "true").stderr == ""


def test_results_of_two_versions_of_a_file_are_told_apart(project: Project) -> None:
    for number, jobs in enumerate(("a=1,2", "a=3")):
        worker = project.worker("-c", "1")
        done = project.run("simcelery", "submit", "sims.add", "--grid", jobs, "--wait", "-o", "quiet")
        assert done.returncode == 0, done.stderr
        worker.terminate()
        worker.wait(within(60))
        project.processes.clear()
        if not number:
            edit(project)
    told = "these results are of 2 versions of sims.py (2 and 1 jobs); --fields …,source tells them apart"
    for options in ((), ("-O", "all.csv"), ("--fields", "id,result")):
        assert told in project.run("simcelery", "results", "-w", "sims.add", *options).stderr
    done = project.run("simcelery", "results", "-w", "sims.add", "--fields", "a,source,environment.source")
    sources = [line.split()[1] for line in done.stdout.splitlines()[1:]]
    assert sources[0] == sources[1] != sources[2]
    assert {one.partition(":")[0] for one in sources} == {"sims.py"}
    assert done.stderr == "--fields: none of these jobs has a value for environment.source\n"
    chosen = project.run("simcelery", "results", "--where", f"source = '{sources[2]}'", "--fields", "a")
    assert (chosen.stdout.split(), chosen.stderr) == (["A", "3"], "")
    assert f"code: sims ({sources[2]})" in said(project, "show", "last")
    again = project.run("simcelery", "submit", "sims.add", "--grid", "a=1,2,3", "--dedupe")
    assert "2 existing results are of another version of sims.py than the one here" in again.stderr
    assert "version" not in project.run("simcelery", "submit", "sims.add", "a=3", "--dedupe").stderr


def test_an_attempt_is_recorded_with_the_code_that_ran(project: Project) -> None:
    project.worker("-c", "1")
    sims = project.folder / "sims.py"
    before = submit(project, "add.submit(1)")
    before.result(timeout=within(60))
    sims.write_text("# a line that moves all others\n" + sims.read_text().replace("return a + b", "return 0"))
    after = submit(project, "relaxed.submit(1.0)")
    after.result(timeout=within(60))
    again = submit(project, "add.submit(5)")
    again.result(timeout=within(60))
    ran = [one["code_version"] for job in (before, again) for one in attempts(job.id)]
    assert len(ran) == 2
    assert len(set(ran)) == 1


def test_many_submissions_note_their_source_once(project: Project) -> None:
    found = []
    for _ in range(2):
        done = project.python(
            """
            import sims
            for n in range(20):
                sims.add.submit(n)
            sims.echo.submit_many([{"value": 1}] * 500)
            """
        )
        assert done.returncode == 0, done.stderr
        found.append(sql("SELECT workflow, xmin::text, source FROM submitted_sources ORDER BY workflow"))
    noted = [(workflow, source.partition(":")[0]) for workflow, _, source in found[0]]
    assert noted == [("sims.add", "sims.py"), ("sims.echo", "sims.py")]
    assert found[1] == found[0]  # not even written again
