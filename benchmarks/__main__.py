"""The command: measure, write ``results/*.json``, RESULTS.md and the figures."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks import WORKLOADS
from benchmarks.harness import ROOT, Disagreement, numbers, run, spread
from benchmarks.machine import machine
from benchmarks.report import claims, markdown, plain, quantity, verdict


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure tinytensor beside its peers. Without arguments: everything, into benchmarks/results, "
        "benchmarks/RESULTS.md and docs/images. The machine should have nothing else to do.",
    )
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"some of: {', '.join(WORKLOADS)}")
    parser.add_argument("--quick", action="store_true", help="a few seconds, only to see that it runs: numbers mean "
                        "nothing, and are written only if --output says where")  # fmt: skip
    parser.add_argument("--without", action="append", default=[], metavar="LIBRARY", help="leave one out: 'PyTorch' with all "
                        "its ways of use, or one of them, as 'PyTorch, compiled'")  # fmt: skip
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAMES", help="of the workload `functions` "
                        "only these, as np.sum,np.tanh; nothing is written unless --output says where")  # fmt: skip
    parser.add_argument("--report", action="store_true", help="measure nothing: table and figures from the JSON files")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write results/, RESULTS.md and images/ there instead"
    )
    parser.add_argument("--pyperf", type=Path, metavar="FILE", help="write what was measured for pyperf's tools, too: "
                        "`python -m pyperf compare_to old.json new.json`")  # fmt: skip
    options = parser.parse_args(given)
    if unknown := [name for name in options.workloads if name not in WORKLOADS]:
        parser.error(f"unknown workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if options.only:
        if options.workloads != ["functions"]:
            parser.error("--only is for the workload `functions`: python -m benchmarks functions --only np.sum,np.tanh")
        names = importlib.import_module("benchmarks.calls").calls()
        if unknown := [name for name in options.only if name not in names]:
            parser.error(f"no such function: {', '.join(unknown)}; they are called as in docs/functions.md")
    return options


def measure(name: str, quick: bool, without: list[str], only: list[str] | None = None) -> dict[str, Any]:
    """Run one workload, and say what came out."""
    workload = importlib.import_module(f"benchmarks.{name}")
    result: dict[str, Any] = {
        "workload": name,
        "about": " ".join((workload.__doc__ or "").split()),
        "quick": quick,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "cases": [],
    }
    for case in workload.cases(quick):
        print(f"  {case.label}", flush=True)
        found = run(name, case._replace(jobs=tuple(job for job in case.jobs if job in (only or case.jobs))), without)
        result["cases"].append(found)
        if case.jobs:
            continue
        for library, entry in found["libraries"].items():
            for unit in entry["rounds"][0]:
                low, middle, high = (quantity(t, unit) for t in spread(numbers(found, library, unit)))
                print(f"    {library:20s} {unit:18s} {middle:>10s}   ({low} – {high})", flush=True)
    if only:
        print("\n".join(line for line in workload.table(result) if line))
    if not result["cases"]:
        print("  cannot be measured on this system")
    result["claims"] = [
        {**c._asdict(), "value": c.value._asdict(), "verdict": verdict(c, result)} for c in claims(result)
    ]
    for c in claims(result):
        target = f"{c.bound} {plain(c.target)}: {verdict(c, result)}"
        print(f"  {c.text}: {plain(c.value.median)} {c.unit} ({target})", flush=True)
    return result


def _json(result: dict[str, Any]) -> str:
    """The result, indented, but lists of numbers on one line."""
    text = json.dumps(result, indent=1) + "\n"
    return re.sub(r"\[[-+.\w,\s]+\]", lambda found: " ".join(found[0].split()), text)


def _warn_if_busy() -> None:
    """Thread pools that wait for a core that something else uses are slower by orders of magnitude."""
    found = machine()
    load = found["load_average"]
    if load and load[0] > 0.5 * found["cores"]:
        print(f"warning: the load average is {load[0]} on {found['cores']} cores; these numbers will mislead, above "
              "all those of libraries with thread pools", file=sys.stderr)  # fmt: skip


def main(given: list[str] | None = None) -> int:
    options = _arguments(given)
    writes = not (options.quick or options.only) or options.output is not None
    home = options.output or ROOT / "benchmarks"
    images = options.output / "images" if options.output else ROOT / "docs" / "images"
    if not options.report:
        _warn_if_busy()
    measured = []
    for name in [] if options.report else options.workloads or WORKLOADS:
        print(name, flush=True)
        try:
            result = measure(name, options.quick, options.without, options.only)
        except Disagreement as error:
            print(f"the libraries disagree, so nothing was timed: {error}", file=sys.stderr)
            return 1
        except RuntimeError as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 1
        measured.append(result)
        if writes:
            (home / "results").mkdir(parents=True, exist_ok=True)
            (home / "results" / f"{name}.json").write_text(_json(result))
    if options.pyperf:
        from benchmarks.export import save

        print(f"written: {options.pyperf}, {save(measured, options.pyperf)} benchmarks")
    if not writes:
        return 0
    files = [home / "results" / f"{name}.json" for name in WORKLOADS]
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    (home / "RESULTS.md").write_text(markdown(results))
    made = [home / "RESULTS.md"]
    try:
        from benchmarks.plots import draw

        made += draw(results, images)
    except ImportError:
        print("no figures: matplotlib is not installed (extra `plot`)", file=sys.stderr)
    for path in made:
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
