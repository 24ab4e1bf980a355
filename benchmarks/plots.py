"""The figures, made from the JSON files alone. Colours by Okabe and Ito; every line has a marker of its own too."""

from __future__ import annotations

from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from benchmarks.functions import PEERS, ratios
from benchmarks.harness import numbers, ratio, spread
from benchmarks.report import OTHERS, OURS, beside, plain, quantity

#: Colour and marker of each library, the same in every figure.
STYLE = {
    "tinytensor": ("#0072B2", "o"), "tinytensor, compiled": ("#0072B2", "*"), "tinytensor, numba": ("#56B4E9", "*"),
    "PyTorch": ("#D55E00", "s"), "PyTorch, best idiom": ("#D55E00", "v"), "PyTorch, compiled": ("#D55E00", "X"),
    "PyTorch, 1 thread": ("#E69F00", "v"), "JAX": ("#000000", "d"), "NumPy by hand": ("#777777", "P"),
    "tinytensor Value": ("#009E73", "^"), "micrograd": ("#CC79A7", "D"), "HIPS autograd": ("#E69F00", "<"),
    "MyGrad": ("#009E73", ">"), "MyGrad, no guard": ("#CC79A7", "D"), "scikit-learn": ("#F0E442", "h"),
}  # fmt: skip


def draw(results: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Write the figures of those workloads that have one; returns their files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False})
    figures = {"moons": _moons, "batch": _batch, "width": _width, "chain": _chain, "functions": _functions}
    made = []
    for result in results:
        figure = figures.get(result["workload"])
        if figure is None or not result["cases"]:
            continue
        if result["workload"] == "functions" and not any(_points(result).values()):
            continue  # nobody to compare with
        made.append(_save(figure(result, plt), result, folder / f"benchmark-{result['workload']}.png", plt))
    if cases := [case for case in beside(results) if len(case["libraries"]) > 1]:
        made.append(_save(_beside(cases, plt), results[0], folder / "benchmark-libraries.png", plt))
    return made


def _save(fig: Any, result: dict[str, Any], path: Path, plt: Any) -> Path:
    fig.text(0.99, 0.01, _footer(result), ha="right", va="bottom", fontsize=7.5, color="#666666")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=150)
    plt.close(fig)
    return path


def _footer(result: dict[str, Any]) -> str:
    m = result["machine"]
    beside = (
        {"autograd": "HIPS autograd", "mygrad": "MyGrad"} if result["workload"] == "functions" else {"torch": "PyTorch"}
    )
    names = {"numpy": "NumPy", **beside}
    packages = ", ".join(f"{title} {m['packages'][name]}" for name, title in names.items() if name in m["packages"])
    return f"{m['processor']}, {m['cores']} cores; {m['python']}, {packages}; {result['date']}"


def _moons(result: dict[str, Any], plt: Any) -> Any:
    """A point for each library, with its quartiles, the axis logarithmic."""
    (case,) = result["cases"]
    times = {name: spread(numbers(case, name)) for name in case["libraries"]}
    names = sorted(times, key=lambda name: times[name].median)
    fig, ax = plt.subplots(figsize=(8, 1 + 0.42 * len(names)), layout="constrained")
    for row, name in enumerate(names):
        t = times[name]
        color, marker = STYLE[name]
        ax.errorbar(t.median, row, xerr=[[t.median - t.low], [t.high - t.median]], color=color, marker=marker,
                    markersize=9, capsize=4)  # fmt: skip
        relative = ratio(case, name, "tinytensor")
        assert relative is not None
        beside = f"   {plain(relative.median)}×" if name != "tinytensor" else ""
        ax.annotate(f"{quantity(t.median)}{beside}", (t.high, row), xytext=(12, 0), textcoords="offset points",
                    va="center")  # fmt: skip
    ax.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlabel="seconds per step (log scale); × is relative to tinytensor",
           title=f"One training step on moons: MLP 2-16-16-1, batch {case['options']['batch']}")  # fmt: skip
    ax.set_xlim(min(t.low for t in times.values()) / 2, max(t.high for t in times.values()) * 60)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
    fig.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
    return fig


def _size(case: dict[str, Any], name: str) -> int:
    """The size of a case: an option, or the first of those in a list."""
    value = case["options"][name]
    return int(value[0] if isinstance(value, list) else value)


def _lines(result: dict[str, Any], ax: Any, size: str, per: bool) -> list[tuple[str, float, float]]:
    """Median and quartiles of every library over the size of the problem; returns where each line ends."""
    ends = []
    for library, (color, marker) in STYLE.items():
        points = [
            (_size(case, size), spread([t / (_size(case, size) if per else 1) for t in found]))
            for case in result["cases"]
            if (found := numbers(case, library))
        ]
        if not points:
            continue
        sizes = [n for n, _ in points]
        ax.plot(sizes, [s.median for _, s in points], color=color, marker=marker, linewidth=1.8)
        ax.fill_between(sizes, [s.low for _, s in points], [s.high for _, s in points], color=color, alpha=0.2, lw=0)
        ends.append((library, sizes[-1], points[-1][1].median))
    ax.set_xscale("log")
    ax.grid(which="major", color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
    return ends


def _name(ax: Any, ends: list[tuple[str, float, float]]) -> None:
    """Write each library's name beside the end of its line, names that would overlap moved apart."""
    pixels = {library: ax.transData.transform((x, y)) for library, x, y in ends}
    apart = 15 * ax.figure.dpi / 72
    below = -float("inf")
    for library, x, y in sorted(ends, key=lambda end: pixels[end[0]][1]):
        at = pixels[library][1]
        below = max(at, below + apart)
        ax.annotate(library, (x, y), xytext=(9, (below - at) * 72 / ax.figure.dpi), textcoords="offset points",
                    color=STYLE[library][0], va="center")  # fmt: skip


def _curve(result: dict[str, Any], plt: Any, size: str, label: str, title: str) -> Any:
    """Seconds per step over one size, both logarithmic."""
    fig, ax = plt.subplots(figsize=(8, 5.2), layout="constrained")
    ends = _lines(result, ax, size, per=False)
    sizes = [_size(case, size) for case in result["cases"]]
    ax.set(yscale="log", xlabel=f"{label} (log scale)", ylabel="seconds per training step (log scale)", title=title)
    ax.set_xlim(min(sizes) * 0.8, max(sizes) * (max(sizes) / min(sizes)) ** 0.25)
    fig.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    fig.canvas.draw()
    _name(ax, ends)
    return fig


def _batch(result: dict[str, Any], plt: Any) -> Any:
    return _curve(result, plt, "batch", "samples in the batch",
                  "What vectorizing buys: a training step of MLP 2-16-16-1")  # fmt: skip


def _width(result: dict[str, Any], plt: Any) -> Any:
    return _curve(result, plt, "sizes", "width of each layer", "A training step of an MLP with three layers, batch 128")


def _beside(cases: list[dict[str, Any]], plt: Any) -> Any:
    """Every library's time relative to ours, compiled where that was measured: to the right is slower."""
    fig, ax = plt.subplots(figsize=(9, 1.6 + 0.42 * len(cases)), layout="constrained")
    for name in (*OURS, *OTHERS):
        points = []
        for row, case in enumerate(cases):
            base = OURS[1] if OURS[1] in case["libraries"] else OURS[0]
            if value := ratio(case, name, base):
                points.append((value.median, row))
        if points:
            color, marker = STYLE[name]
            x, y = zip(*points, strict=True)
            ax.plot(x, y, linestyle="none", color=color, marker=marker, markersize=8, label=name, alpha=0.85)
    ax.axvline(1, color="#333333", linewidth=1)
    ax.set(xscale="log", yticks=range(len(cases)), yticklabels=[case["label"] for case in cases],
           xlabel="time relative to tinytensor, compiled where it can be (log scale): to the right is slower")  # fmt: skip
    ax.tick_params(axis="y", labelsize=8)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_ylim(len(cases) - 0.5, -0.5)
    ax.grid(color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
    fig.legend(fontsize=8.5, loc="outside upper center", ncols=5, frameon=False)
    fig.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    return fig


def _chain(result: dict[str, Any], plt: Any) -> Any:
    fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
    ends = _lines(result, ax, "length", per=True)
    lengths = [case["options"]["length"] for case in result["cases"]]
    ax.set(xlabel="multiplications in the chain (log scale)", ylabel="µs per multiplication (log scale)",
           title="A chain of operations: build + backward + delete, per operation")  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda t, _: f"{t * 1e6:.3g}")
    ax.set_xlim(min(lengths) * 0.8, max(lengths) * 20)
    fig.get_layout_engine().set(rect=(0, 0.045, 1, 0.955))
    fig.canvas.draw()
    _name(ax, ends)
    return fig


def _points(result: dict[str, Any]) -> dict[tuple[str, str], list[float]]:
    """Label of the case and peer -> the medians of its ratios, sorted."""
    return {
        (case["label"], peer): sorted(median(each) for each in ratios(case, peer).values())
        for case in result["cases"]
        for peer in PEERS
    }


def _functions(result: dict[str, Any], plt: Any) -> Any:
    """Every function a dot, sorted by how many times more the peer needs; a panel for each size of arrays."""
    points = _points(result)
    labels = list(dict.fromkeys(label for label, _ in points))
    fig, axes = plt.subplots(1, len(labels), figsize=(9, 4.4), sharey=True, layout="constrained", squeeze=False)
    for ax, label in zip(axes[0], labels, strict=True):
        for peer in PEERS:
            found = points[label, peer]
            if not found:
                continue
            color, marker = STYLE[peer]
            name = f"{peer}: {len(found)} functions, geometric mean {plain(geometric_mean(found))}"
            places = [(k + 0.5) / len(found) for k in range(len(found))]
            ax.plot(places, found, linestyle="none", color=color, marker=marker, markersize=3.5, label=name)
        ax.axhline(1, color="#333333", linewidth=1)
        ax.set(yscale="log", title=label, xlabel="functions, sorted")
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        ax.grid(color="#dddddd", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.legend(fontsize=8.5, loc="upper left", frameon=False)
    axes[0][0].set_ylabel("times that tinytensor is faster (log scale)")
    fig.get_layout_engine().set(rect=(0, 0.045, 1, 0.955))
    return fig
