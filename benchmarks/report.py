"""Results for people: the table of RESULTS.md, made from the JSON files alone."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.harness import Claim, Spread, numbers, ratio, spread

#: What a workload measures, in order of the columns: name in the JSON, heading, factor, unit.
COLUMNS: dict[str, list[tuple[str, str]]] = {
    "compiling": [("seconds", "first three steps, over later ones"), ("first_seconds", "first step")],
    "memory": [("peak_bytes", "peak over 5 steps"), ("first_step_bytes", "peak in the first step")],
    "chain": [("seconds", "all"), ("build", "build"), ("backward", "backward"), ("delete", "delete")],
}

#: Workloads of the table beside all libraries, and what a case's label must contain to be in it.
BESIDE = {
    "moons": "", "digits_mlp": "", "mnist": "", "wide": "", "digits": "a step", "microgpt": "", "gpt": "", "operation": "",
    "chain": " 1,000 ", "logistic": "", "lstm": "", "elementwise": "",
}  # fmt: skip
OURS = ("tinytensor", "tinytensor, compiled")
OTHERS = ("PyTorch", "PyTorch, best idiom", "PyTorch, compiled", "JAX", "NumPy by hand", "HIPS autograd", "MyGrad",
          "scikit-learn")  # fmt: skip

METHOD = (
    "Every number is a median with the quartiles beside it, over rounds in which the libraries take turns, each in a "
    "process of its own. Ratios are taken within a round. Before anything was timed, the libraries' answers agreed."
)


def claims(result: dict[str, Any]) -> list[Claim]:
    """The sentences that a workload's numbers support; none if it could not be measured here."""
    if not result["cases"]:
        return []
    found: list[Claim] = importlib.import_module(f"benchmarks.{result['workload']}").claims(result)
    return found


def verdict(claim: Claim, result: dict[str, Any]) -> str:
    """Whether the target was reached: of a quick run nobody can tell."""
    return "not judged" if result["quick"] else "reached" if claim.reached else "NOT REACHED"


def quantity(value: float, name: str = "seconds") -> str:
    """Seconds in the unit that suits them, bytes in MiB."""
    if name.endswith("bytes"):
        return f"{value / 2**20:.1f} MiB"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.0f} ns"


def plain(value: float) -> str:
    """A ratio with three digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(values: Spread, name: str) -> str:
    return f"{quantity(values.median, name)} ({quantity(values.low, name)} – {quantity(values.high, name)})"


def _cell(case: dict[str, Any], library: str, name: str) -> str:
    """A quantity with its quartiles; a dash where a library has no such part."""
    if name not in case["libraries"][library]["rounds"][0]:
        return "–"
    return _spread(spread(numbers(case, library, name)), name)


def markdown(results: list[dict[str, Any]]) -> str:
    """The whole of RESULTS.md."""
    lines = [
        "# Results", "",
        "Made by `python -m benchmarks` from `benchmarks/results/*.json`; do not edit by hand.",
        METHOD,
        "", *_machines(results), "", "## What was promised, and what was measured", "",
        "| what | measured | quartiles | promised | verdict |", "| --- | ---: | ---: | ---: | --- |",
    ]  # fmt: skip
    for result in results:
        for c in claims(result):
            lines.append(
                f"| {c.text} | {plain(c.value.median)} {c.unit} | {plain(c.value.low)} – {plain(c.value.high)} | "
                f"{c.bound} {plain(c.target)} | {verdict(c, result)} |"
            )
    lines += _beside(results)
    for result in results:
        table = getattr(importlib.import_module(f"benchmarks.{result['workload']}"), "table", _table)
        lines += ["", f"## {result['workload']}", "", result["about"], *table(result)]
    return "\n".join(lines) + "\n"


def beside(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases that are compared with many libraries."""
    return [
        case
        for result in results
        for case in result["cases"]
        if BESIDE.get(result["workload"], "–") in case["label"] and "tinytensor" in case["libraries"]
    ]


def _beside(results: list[dict[str, Any]]) -> list[str]:
    """A row for each case: our times, and how many times as long every other library needs."""
    cases = beside(results)
    if not cases:
        return []
    lines = [
        "", "## Side by side", "",
        "Our times, eager and compiled; then how many times as long the others need: than eager / than compiled.", "",
        "| step | " + " | ".join((*OURS, *OTHERS)) + " |", "| --- |" + " ---: |" * len(OURS + OTHERS),
    ]  # fmt: skip
    for case in cases:
        cells = [quantity(spread(found).median) if (found := numbers(case, name)) else "–" for name in OURS]
        for name in OTHERS:
            pair = [plain(value.median) if (value := ratio(case, name, ours)) else "–" for ours in OURS]
            cells.append(" / ".join(pair) if name in case["libraries"] else "")
        lines.append(f"| {case['label']} | " + " | ".join(cells) + " |")
    return lines


def _machines(results: list[dict[str, Any]]) -> list[str]:
    """One line for each machine: normally there is one."""
    lines: list[str] = []
    for result in results:
        m = result["machine"]
        memory = f", {m['memory_GiB']} GiB" if m["memory_GiB"] else ""
        packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
        line = (
            f"Machine: {m['processor']}, {m['cores']} cores{memory}, {m['system']}; {m['python']}; {packages}; "
            f"BLAS of NumPy: {m['blas']}; measured {result['date']}"
            + (" (**quick mode: too short to mean anything**)." if result["quick"] else ".")
        )
        if line not in lines:
            lines.append(line)
    return [part for line in lines for part in (line, "")][:-1]


def _table(result: dict[str, Any]) -> list[str]:
    columns = COLUMNS.get(result["workload"], [("seconds", "time")])
    base = getattr(importlib.import_module(f"benchmarks.{result['workload']}"), "BASE", "tinytensor")
    head = ["case", "library", *[title for _, title in columns], f"relative to {base}", "rounds"]
    lines = ["", "| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for case in result["cases"]:
        for library in case["libraries"]:
            cells = [case["label"], library]
            cells += [_cell(case, library, name) for name, _ in columns]
            relative = ratio(case, library, base, columns[0][0])
            cells += ["1" if library == base else plain(relative.median) if relative else "–", str(case["rounds"])]
            lines.append("| " + " | ".join(cells) + " |")
        if case["largest difference of answers"] is not None:
            lines.append(f"| | answers differ by at most {case['largest difference of answers']:.1e} |"
                         + " |" * (len(head) - 2))  # fmt: skip
    return lines
