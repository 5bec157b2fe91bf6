"""Write the results into docs/performance.md and docs/scale.md, and draw docs/performance.png."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _all import ORDER
from _report import RESULTS, Figure, number, read

DOCS = Path(__file__).parents[1] / "docs"
MET, MISSED = "#0072b2", "#d55e00"  # told apart by everybody


def results(folder: Path) -> dict[str, tuple[dict[str, Any], list[Figure]]]:
    """What was measured, by script, in the order of the scripts."""
    paths = {name: folder / f"{name}.json" for name in ORDER}
    return {name: read(path) for name, path in paths.items() if path.exists()}


def table(found: dict[str, tuple[dict[str, Any], list[Figure]]]) -> Iterator[str]:
    """Lines of Markdown: every figure but the fleet's, which has a page of its own."""
    yield "| work | script | figure | goal | reached | beside it |"
    yield "|---|---|---:|---|---|---|"
    for name, (_, figures) in found.items():
        for figure in figures:
            goals = figure.goals()
            if name == "fleet" and not goals:
                continue
            beside = [
                f"{peer} {number(value)} ({number(figure.ratio(peer))}×)"
                for peer, value in figure.peers.items()
            ]
            yield (
                "| "
                + " | ".join(
                    (
                        figure.work + (f" ({figure.note})" if figure.note and name != "fleet" else ""),
                        f"`{name}.py`",
                        f"{number(figure.value)} {figure.unit}",
                        "<br>".join(text for text, _ in goals),
                        "<br>".join(verdict(over) for _, over in goals),
                        "<br>".join(beside),
                    )
                )
                + " |"
            )


def verdict(over: float) -> str:
    """In words."""
    return f"yes, {number(over)}×" if over >= 1 else f"**no, {number(over)}×**"


def conditions(found: dict[str, tuple[dict[str, Any], list[Figure]]]) -> Iterator[str]:
    """What it was measured on."""
    machines = {
        "{cpus} CPUs, {memory_gib} GiB, {system}, Python {python}".format(**content["machine"])
        for content, _ in found.values()
    }
    packages = next(iter(found.values()))[0]["machine"]["packages"]
    days = sorted({content["measured_at"][:10] for content, _ in found.values()})
    yield f"Measured on {' and '.join(sorted(machines))}; {days[0]}" + (
        f" to {days[-1]}." if days[1:] else "."
    )
    yield (
        "Servers, workers and clients share these CPUs. "
        + ", ".join(f"{package} {version}" for package, version in packages.items() if package != "simcelery")
        + "."
    )


def fleet(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines of Markdown: a column for each size of the fleet."""
    cells: dict[str, dict[str, str]] = {}
    for figure in figures:
        what, _, size = figure.work.rpartition(", ")
        cells.setdefault(what, {})[size] = f"{number(figure.value)} {figure.unit}"
        if figure.note:
            cells[what][size] += f"<br><sub>{figure.note}</sub>"
    sizes = list(dict.fromkeys(size for row in cells.values() for size in row))
    yield f"| | {' | '.join(sizes)} |"
    yield "|---|" + "---:|" * len(sizes)
    for what, row in cells.items():
        yield f"| {what} | {' | '.join(row.get(size, '') for size in sizes)} |"


def fill(page: Path, name: str, lines: Iterator[str]) -> None:
    """Replace what stands between the markers ``<!-- name -->`` and ``<!-- /name -->``."""
    text = page.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    assert begin in text, f"{page} has no {begin}"
    block = begin + "\n" + "\n".join(lines) + "\n\n" + end
    page.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, flags=re.DOTALL))


def draw(path: Path, found: dict[str, tuple[dict[str, Any], list[Figure]]]) -> None:
    """How many times over each goal was reached, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["font.size"] = 9
    from matplotlib import pyplot

    goals = [
        (f"{figure.work}: {text}", over)
        for _, figures in found.values()
        for figure in figures
        for text, over in figure.goals()
    ][::-1]
    chart, axes = pyplot.subplots(figsize=(10, 1.2 + 0.27 * len(goals)), layout="constrained")
    for height, (_, over) in enumerate(goals):
        colour = MET if over >= 1 else MISSED
        axes.plot([1, over], [height, height], color=colour, linewidth=2, alpha=0.5)
        axes.plot(over, height, "o" if over >= 1 else "X", color=colour, markersize=6)
        side = 1 if over >= 1 else -1
        axes.annotate(
            f"{number(over)}×",
            (over, height),
            (7 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_xlim(min(over for _, over in goals) / 5, max(over for _, over in goals) * 5)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(goals)), [text for text, _ in goals])
    axes.set_ylim(-0.7, len(goals) - 0.3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xlabel("reached / goal (right of the line: met)")
    axes.grid(axis="x", alpha=0.3)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    axes.tick_params(axis="y", length=0)
    chart.savefig(path, dpi=130)


def main() -> None:
    """Both pages and the plot, of whatever has been measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the scripts left their JSON")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are")
    given = parser.parse_args()
    found = results(given.results)
    if not found:
        raise SystemExit(f"no results in {given.results}: run make bench")
    fill(given.docs / "performance.md", "conditions", conditions(found))
    fill(given.docs / "performance.md", "figures", table(found))
    if "fleet" in found:
        fill(given.docs / "scale.md", "fleet", fleet(found["fleet"][1]))
    draw(given.docs / "performance.png", found)


if __name__ == "__main__":
    main()
