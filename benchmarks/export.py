"""Results as a file of pyperf, whose tools then compare two versions: ``python -m pyperf compare_to old.json new.json``.

pyperf measures one program after another, and a process for each sample; libraries that take turns in processes that stay
are beyond it, so that part is ``harness``. Statistics over versions, histograms and tests of significance are pyperf's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save(results: list[dict[str, Any]], path: Path) -> int:
    """One pyperf benchmark for each case and library, a run for each round; returns how many there are."""
    import pyperf

    found = []
    for result in results:
        about = {"date": f"{result['date']} 00:00:00", "cpu_model_name": result["machine"]["processor"]}
        for case in result["cases"]:
            for library, entry in case["libraries"].items():
                times = [block["seconds"] for block in entry.get("rounds", ()) if block.get("seconds")]
                if times:
                    found.append(_benchmark(pyperf, f"{case['label']}; {library}", times, entry["version"], about))
    if not found:
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite(found).dump(str(path), replace=True)
    return len(found)


def _benchmark(pyperf: Any, name: str, times: list[float], version: str, about: dict[str, str]) -> Any:
    metadata = {"name": name, "unit": "second", "loops": 1, **about, **({"version": version} if version else {})}
    return pyperf.Benchmark([pyperf.Run([t], metadata=metadata, collect_metadata=False) for t in times])
