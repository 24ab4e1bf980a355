"""The house itself: imports point one way, importing is light, and everything that README and docs say is run."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.primitive import DISPATCH, OPS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinytensor"
MODULES = sorted(PACKAGE.rglob("*.py"))
INDEX = ROOT / "docs" / "index.md"
PROSE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def id_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def name_of(path: Path) -> str:
    """``tinytensor.ops.shape`` for its file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# --------------------------------------------------------------------------------------------------------- layers

#: From the bottom up. A module imports only from layers below its own, or from its own package inside the layer.
LAYERS = [
    ["tinytensor.scalar"],
    ["tinytensor.hooks", "tinytensor.keeping"],
    ["tinytensor.graph"],
    ["tinytensor.stepping"],
    ["tinytensor.sharing"],
    ["tinytensor.arrays", "tinytensor.deferred"],
    ["tinytensor.primitive"],
    ["tinytensor.recorded"],
    ["tinytensor.ops"],
    ["tinytensor.inplace"],
    ["tinytensor.dispatch"],
    ["tinytensor.methods"],
    ["tinytensor.tensor"],
    ["tinytensor.creation", "tinytensor.typing"],
    ["tinytensor.trees"],
    ["tinytensor.tape"],
    ["tinytensor.transforms"],
    ["tinytensor.batching"],
    ["tinytensor.forward"],
    ["tinytensor.derivatives", "tinytensor.recompute", "tinytensor.custom"],
    ["tinytensor.anomaly"],
    ["tinytensor"],  # what ``import tinytensor`` brings; the layers above it load when they are used
    ["tinytensor.nn", "tinytensor.optim", "tinytensor.fft", "tinytensor.linalg"],
    ["tinytensor.compiler"],
    ["tinytensor.data", "tinytensor.checkpoints"],
    ["tinytensor.signal", "tinytensor.integrate"],
    ["tinytensor.special", "tinytensor.stats", "tinytensor.sparse"],
    ["tinytensor.testing", "tinytensor.catalogue"],
    ["tinytensor.io"],
    ["tinytensor.onnx"],
    ["tinytensor.trainer", "tinytensor.resuming"],
    ["tinytensor.training"],
    ["tinytensor.plot", "tinytensor.comparison"],
    ["tinytensor.explanation", "tinytensor.tables"],
    ["tinytensor.cli"],
    ["tinytensor.__main__"],
]

#: ``tinytensor.typing`` holds aliases for annotations and imports nothing at run time: every layer may read it.
ANYWHERE = {"tinytensor.typing"}

#: Imports inside a function, of modules of our own: which, and why they are late.
LATE = {
    ("tinytensor.explanation", "tinytensor.plot.explanation"): "an explanation in words needs no figures",
    ("tinytensor.compiler.compiled", "tinytensor.compiler.source"): "a replay needs no text for people",
    ("tinytensor", "importlib"): "public subpackages load when they are first used",
    ("tinytensor.io", "tinytensor.nn"): "reading arrays from a file needs no networks",
    ("tinytensor.testing", "tinytensor.testing.strategies"): "hypothesis is an extra",
    ("tinytensor.plot.figures", "tinytensor.training"): "drawing a graph needs no training loop",
}

#: Packages that are loaded where they are used: the extras, and what the standard library makes expensive.
OPTIONAL = {
    "scipy",
    "sklearn",
    "matplotlib",
    "graphviz",
    "graphviz_pure",
    "safetensors",
    "onnx",
    "numba",
    "typer",
    "rich",
    "hypothesis",
}
SLOW = {"ctypes", "difflib", "importlib", "json", "pathlib", "shutil", "subprocess", "tempfile", "dataclasses"}


def layer_of(module: str) -> int:
    """The layer of the longest entry that is the module or a package around it."""
    found = [
        (len(entry), rank)
        for rank, entries in enumerate(LAYERS)
        for entry in entries
        if module == entry or (entry != "tinytensor" and module.startswith(entry + "."))
    ]
    assert found, f"{module} belongs to no layer: add it to LAYERS"
    return max(found)[1]


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """(module, line, inside a function) of every import that runs; those under TYPE_CHECKING do not."""
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, late: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child, late)
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{id_of(path)}:{node.lineno}: imports are absolute"
            for alias in node.names:  # ``from tinytensor import nn`` imports tinytensor.nn
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / inner.replace(".", "/")).is_dir() or (
                    ROOT / f"{inner.replace('.', '/')}.py"
                ).exists()
                found.append((inner if is_module else str(node.module), node.lineno, late))
        inside = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


@pytest.mark.parametrize("path", MODULES, ids=id_of)
def test_imports_point_one_way(path: Path) -> None:
    module = name_of(path)
    for target, line, _ in imports_of(path):
        if not target.startswith("tinytensor") or target in ANYWHERE:
            continue
        same_package = target.split(".")[:2] == module.split(".")[:2] and module.count(".") + target.count(".") > 1
        below = layer_of(target) < layer_of(module)
        assert below or same_package, f"{id_of(path)}:{line} imports {target}, which is not below it"


def test_no_import_cycles() -> None:
    edges = {
        name_of(path): {t for t, _, late in imports_of(path) if t.startswith("tinytensor") and not late}
        for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' → '.join([*trail, module])}"
        if module not in done:
            for target in sorted(edges.get(module, ())):
                if not (target != module and module.startswith(target + ".")):  # a package around its own module
                    visit(target, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=id_of)
def test_imports_are_late_only_for_optional_packages(path: Path) -> None:
    for target, line, late in imports_of(path):
        top = target.split(".")[0]
        if late:
            known = (
                top in OPTIONAL | SLOW or (name_of(path), target) in LATE or name_of(path).startswith("tinytensor.cli")
            )
            assert known, f"{id_of(path)}:{line} imports {target} inside a function"
        elif top in OPTIONAL:
            edge = name_of(path).startswith(("tinytensor.cli", "tinytensor.plot", "tinytensor.testing"))
            assert edge, f"{id_of(path)}:{line} imports {target} at the top: everyone would need it"


def test_layers_find_a_wrong_import(tmp_path: Path) -> None:
    """The test's own test: an import that points upwards, or hides in a function, is seen."""
    probe = tmp_path / "probe.py"
    probe.write_text("from tinytensor import nn\ndef f():\n    import scipy.special\n")
    assert imports_of(probe) == [("tinytensor.nn", 1, False), ("scipy.special", 3, True)]
    assert layer_of("tinytensor.ops.shape") < layer_of("tinytensor.tensor") < layer_of("tinytensor.nn.layers")


# ------------------------------------------------------------------------------------------------------ importing


def test_scalar_stands_alone() -> None:
    """``scalar.py`` can be copied into an empty folder and read, and run, on its own."""
    assert not [t for t, _, _ in imports_of(PACKAGE / "scalar.py") if t.split(".")[0] in ("tinytensor", "numpy")]
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("scalar", {str(PACKAGE / "scalar.py")!r})
module = sys.modules["scalar"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
a = module.Value(3.0); (a * a).backward()
print(a.grad, "numpy" in sys.modules, "tinytensor" in sys.modules)
"""
    assert run(code).split() == ["6.0", "False", "False"]


def test_import_needs_numpy_alone() -> None:
    """``import tinytensor`` loads NumPy, itself, and no module that NumPy does not load and that costs milliseconds."""
    report = "import sys; print('\\n'.join(sys.modules))"
    before, after = set(run("import numpy;" + report).split()), set(run("import tinytensor;" + report).split())
    added = after - before
    packages = {m.split(".")[0] for m in added} - set(sys.stdlib_module_names)
    assert packages <= {"tinytensor", "numpy"}
    slow = {"numpy.random", "numpy.fft", "json", "dataclasses", "pathlib", "inspect", "typing_extensions", "logging",
            "multiprocessing", "unittest", "argparse", "subprocess", "tempfile"}  # fmt: skip
    assert not added & slow
    lazy = {"tinytensor.nn", "tinytensor.optim", "tinytensor.testing", "tinytensor.io", "tinytensor.data"}
    assert not added & lazy


# --------------------------------------------------------------------------------------------------- public names


def test_all_is_sorted_and_complete() -> None:
    names = [n for n in tt.__all__ if n.islower()]
    assert names == sorted(names)
    assert len(set(tt.__all__)) == len(tt.__all__)
    for name in tt.__all__:
        assert getattr(tt, name) is not None
    imported = {
        alias.asname or alias.name
        for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tinytensor")
        for alias in node.names
    }
    assert not imported - set(tt.__all__)


BARE: set[str] = set()

PUBLIC = [
    pytest.param(getattr(space, name), id=f"{space.__name__}.{name}")
    for space in (
        tt,
        tt.nn,
        tt.optim,
        tt.nn.functional,
        tt.data,
        tt.io,
        tt.onnx,
        tt.linalg,
        tt.special,
        tt.sparse,
        tt.signal,
        tt.integrate,
        tt.tables,
        tt.trainer,
        tt.checkpoints,
    )
    for name in space.__all__
    if callable(getattr(space, name)) and name not in BARE
]


@pytest.mark.parametrize("thing", PUBLIC)
def test_public_names_are_documented(thing: object) -> None:
    """One sentence, and an example that the doctests run, or the name of the function whose example shows it."""
    doc = thing.__doc__ or ""
    assert doc.strip(), "has no docstring"
    assert doctest.DocTestParser().get_examples(doc) or re.search(r"Example: :\w+:`|see :func:`", doc), "has no example"


@pytest.mark.parametrize("path", MODULES, ids=id_of)
def test_modules_open_with_a_sentence_and_export_what_exists(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    doc = ast.get_docstring(tree)
    assert doc, "the first line of a module says what lives there"
    assert doc.splitlines()[0].rstrip()[-1] in ".:?,", doc.splitlines()[0]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defined |= {
        t.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for t in (target.elts if isinstance(target, ast.Tuple) else [target])
        if isinstance(t, ast.Name)
    }
    defined |= {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    defined |= {
        a.asname or a.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.ImportFrom, ast.Import))
        for a in node.names
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert set(ast.literal_eval(node.value)) <= defined


# ----------------------------------------------------------------------------------------------------------- size

#: Modules of more than 300 lines of code, and the most that each may have: tables, lists of names, and classes written out in full.
LARGE = {
    "tinytensor/__init__.py": 480,
    "tinytensor/primitive.py": 600,
    "tinytensor/scalar.py": 480,
    "tinytensor/tensor.py": 640,
    "tinytensor/testing/table.py": 420,
}


#: Functions of more than 50 lines of code: the loop of the walk, recorders, and a command's options, one line each.
LONG = {"carry": 60, "train_command": 110, "train_table_command": 65, "_binary": 57, "_general": 54}


def lines_of_code(node: ast.AST, text: str) -> int:
    """Lines that are neither blank, nor comment, nor docstring."""
    docs: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            inner
        ):
            docs |= set(range(inner.body[0].lineno, (inner.body[0].end_lineno or 0) + 1))
    lines = text.splitlines()
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(lines))
    return sum(
        1 for k in range(first, last + 1) if k not in docs and (s := lines[k - 1].strip()) and not s.startswith("#")
    )


@pytest.mark.parametrize("path", MODULES, ids=id_of)
def test_modules_and_functions_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    limit = LARGE.get(id_of(path), 300)
    assert (size := lines_of_code(tree, text)) <= limit, f"{size} lines of code, expected at most {limit}"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            size, most = lines_of_code(node, text), LONG.get(node.name, 50)
            assert size <= most, f"{node.name} has {size} lines of code, expected at most {most}"


# ------------------------------------------------------------------------------------------------ words and versions


def test_the_version_has_an_entry_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(tt.__version__)}\]", text, re.M)
    assert (tuple(map(int, tt.__version__.split("."))) >= (0, 1, 0)) and "## [Unreleased]" in text


def text_files() -> list[Path]:
    endings = {".py", ".md", ".toml", ".cfg", ".yml", ""}
    skip = {".git", ".venv", "dist", "build", "runs", "__pycache__"}
    return [
        p
        for p in ROOT.rglob("*")
        if p.is_file() and p.suffix in endings and not any(part in skip or part.endswith("_cache") for part in p.parts)
        and ".hypothesis" not in p.parts
    ]  # fmt: skip


def test_no_leftovers_in_any_file() -> None:
    """No marks of unfinished work, no path of one machine."""
    marks = re.compile(
        r"\b(?:TO"
        r"DO|FIX"
        r"ME|XX"
        r"X|HA"
        r"CK)\b|/ho"
        r"me/\w|/Us"
        r"ers/\w|/ro"
        r"ot/|/wo"
        r"rk/(?:main|shared)|/tm"
        r"p/\w"
    )
    found = [
        f"{id_of(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if marks.search(line)
    ]
    assert not found, "\n".join(found)


# ------------------------------------------------------------------------------------------------- README and docs

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, text) of the fenced blocks of a language."""
    text = path.read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start()) + 2, m[2]) for m in BLOCK.finditer(text) if m[1] == language]


def promised(block: str) -> list[str]:
    """What the comments behind ``print(...)`` say is printed."""
    return [m[1].strip() for m in re.finditer(r"^\s*print\(.*?\)  # (.*)$", block, re.M)]


@pytest.mark.parametrize("path", [p for p in PROSE if blocks(p, "python")], ids=id_of)
def test_code_in_prose_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a file, in order, in one namespace; a comment behind a print is what it prints."""
    monkeypatch.chdir(tmp_path)
    for registry in (DISPATCH, OPS):  # what a page adds is its own
        for key, known in dict(registry).items():
            monkeypatch.setitem(registry, key, known)
    tt.manual_seed(0)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, block in blocks(path, "python"):
        printed = io.StringIO()
        code = compile("\n" * (line - 1) + block, str(path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if promised(block):
            assert printed.getvalue().splitlines() == promised(block), f"{id_of(path)}:{line}"


def test_promises_in_comments_are_compared() -> None:
    """The test's own test: a comment behind a print is read, whatever brackets the line has."""
    assert promised("print(f(x)[0])  # 1.5\nx = 2  # two\n    print(a, b)  # (1, 2)\n") == ["1.5", "(1, 2)"]


def conventions() -> list[object]:
    """The rows of the tables in docs/conventions.md whose last cell is a Python expression that must be true."""
    rows = []
    path = ROOT / "docs" / "conventions.md"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("|") and len(cells) == 3 and cells[2].startswith("`"):
            rows.append(pytest.param(cells[2].strip("`").replace("\\|", "|"), id=f"line {number}: {cells[0]}"))
    return rows


def raises(kind: type[Exception], f: object, *words: str) -> bool:
    """Whether ``f()`` raises ``kind`` with a message that holds the words."""
    try:
        f()  # type: ignore[operator]
    except kind as error:
        return all(word in str(error) for word in words)
    return False


@pytest.mark.parametrize("expression", conventions())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_conventions_hold(expression: str) -> None:
    namespace = {"np": np, "tt": tt, "grad": tt.grad, "raises": raises, "nn": tt.nn, "inf": np.inf, "array": np.array}
    assert eval(expression, namespace), expression


def test_conventions_are_many_and_can_fail() -> None:
    assert len(conventions()) >= 40
    assert not raises(ValueError, lambda: None)
    assert not raises(ValueError, lambda: int("a"), "another message")


@pytest.mark.parametrize("path", PROSE, ids=id_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_readme_commands_are_whole() -> None:
    """Two lines, each with all the set-up in it; CI takes the test command from the README itself."""
    train, test = readme_commands()
    for line in (train, test):
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "tinytensor train moons --plot" in train
    assert "--save" in train
    assert test.endswith("pytest")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme_command 1" in script
    assert "readme_command 2" in script
    assert "pip install -q -e '.[test]'" not in script, "the script has a copy of the command, which may come to differ"


def readme_commands() -> list[str]:
    """The lines of the first two shell blocks of the README."""
    found = [block.strip() for _, block in blocks(ROOT / "README.md", "sh")][:2]
    assert len(found) == 2
    assert all("\n" not in line for line in found)
    return found


def test_line_counts_in_the_readme() -> None:
    """The reading order names every module's length, to within a fifth."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*\[`([\w/.]+)`\]\([^)]*\)\s*\|\s*(\d[\d,]*)\s*\|", text, re.M)
    assert len(rows) >= 8
    for name, claimed in rows:
        path = PACKAGE / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        actual = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        assert abs(actual - int(claimed.replace(",", ""))) <= 0.2 * actual, f"{name} has {actual} lines, not {claimed}"


# ------------------------------------------------------------------------------------------------------- examples


def examples() -> list[Any]:
    """From the seventh on they train for many seconds."""
    files = sorted((ROOT / "examples").glob("*.py"))
    return [pytest.param(f, id=id_of(f), marks=[pytest.mark.slow] * (f.name >= "07")) for f in files]


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def reached(path: Path) -> str:
    """What the table of examples says that one reaches."""
    (row,) = (line for line in INDEX.read_text(encoding="utf-8").splitlines() if f"[{path.name}]" in line)
    return row.split("|")[3]


def is_near(claim: str, n: float) -> bool:
    """Equal up to 2 % or the last digit, which another machine's rounding may change; powers of ten are bounds."""
    said = float(claim.replace(",", ""))
    if "e" in claim:
        return n <= said
    return abs(n - said) <= max(0.02 * said, 10.0 ** -len(claim.partition(".")[2]) if "." in claim else 0)


def test_near_numbers() -> None:
    assert is_near("99.4", 98.9) and is_near("0.001", 0.0014) and is_near("4,000", 4000.0) and is_near("1e-15", 3e-16)
    assert not is_near("99.4", 96.0) and not is_near("0.001", 0.003) and not is_near("1e-15", 2e-15)


@pytest.mark.parametrize("path", examples())
def test_examples_run(path: Path, tmp_path: Path) -> None:
    """Each runs in an empty folder, says what it shows and ends with the number that it reached."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    printed = [abs(float(n.replace(",", ""))) for n in NUMBER.findall(done.stdout.strip().splitlines()[-1])]
    assert printed
    for claim in NUMBER.findall(reached(path)):
        assert any(is_near(claim, n) for n in printed), f"docs/index.md says {claim}, the example: {printed}"
