"""The layers of the design, held by reading every module's imports. Nothing is imported here."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "engine" / "rightsizer"

# A module may import its own row and the rows above it. A package's name stands for all of its
# modules. A new module goes into the row that it belongs to.
LAYERS: dict[str, tuple[str, ...]] = {
    "words": ("errors", "units", "catalog", "samples"),
    "declare": (
        "documents",
        "placeholders",
        "contradictions",
        "trace_numbers",
        "spec",
        "archives",
        "traces",
        "payloads",
        "tensors",
        "protocols",
        "schedule",
        "secrecy",
        "accelerators",
        "addresses",
        "machines",
        "inventory",
        "placing",
        "containers",
        "offers",
        "candidates",
        "plan",
        "planning",
        "expressions",
        "knobs",
        "knob_reading",
        "sweeping",
        "combinations",
        "unmet",
        "needs",
        "fitting",
        "defaults",
        "measure_spec",
    ),
    "measure": ("instrument", "hosts", "traffic"),
    "judge": (
        "analysis",
        "calibration",
        "trials",
        "posterior",
        "entrants",
        "standing",
        "racing",
        "comparing",
        "paired_race",
        "projecting",
        "fleets",
        "recommendation",
        "bottlenecks",
        "contrasts",
        "interactions",
        "effects",
        "search",
        "search_maximum",
        "assignment",
        "verdicts",
    ),
    "keep": ("store", "migrations", "registry", "job_heads"),
    "run": (
        "events",
        "results",
        "origins",
        "histories",
        "compared",
        "comparisons",
        "matching",
        "ab_run",
        "pace",
        "runner",
        "running",
        "crew",
        "knob_files",
        "preparation",
        "surveying",
        "trial_run",
        "trial_watch",
        "judging",
        "failures",
        "jobs",
        "measured",
        "measurement",
        "loading",
        "what_ifs",
        "housekeeping",
        "stop_switch",
        "selftesting",
    ),
    "show": ("report",),
    "edge": ("cli", "api", "__init__"),
}
ROW = {name: number for number, names in enumerate(LAYERS.values()) for name in names}

# (importer, imported): imports against the layers, allowed inside a function alone.
LATE = {
    # Job.document() is a convenience of the result; report is loaded only when it is called.
    ("results", "report"),
    # Measured.document(): the same.
    ("measured", "report"),
    # SelfTest.document(): the same.
    ("selftesting", "report"),
    # Compared.document() and markdown(): the same.
    ("compared", "report"),
}

# Who may import these, in which process they belong.
ONLY_IN = {
    # locust and gevent patch the whole interpreter: the generator's own process alone
    "locust": {"traffic.locustfile"},
    "gevent": {
        "traffic.locustfile",
        "traffic.generator",
        "traffic.grpc_client",
        "traffic.lines",
        "traffic.deadlines",
        "traffic.alarm",
        "traffic.dispatcher",
    },
    "greenlet": {
        "traffic.attempts",
        "traffic.lines",
        "traffic.deadlines",
        "traffic.alarm",
        "traffic.dispatcher",
    },
    "httptools": {"traffic.answer", "traffic.client"},
    # an extra's: whoever sends no gRPC need not have it
    "h2": {"traffic.grpc_channel"},
    # the control plane, behind one module, never in the measured path
    "httpx": {"hosts.control"},
    # the engine's own SDK, behind one module
    "docker": {"hosts.docker.engine"},
    # an extra's: who fetches nothing need not have them
    "fsspec": {"api.remote_objects"},
    "aiohttp": {"api.remote_objects"},
    # an extra's: who does not serve the API need not have them
    "botocore": {"api.constraints", "api.shapes", "api.remote_objects"},
    "regex": {"api.constraints"},
    "starlette": {"api.application"},
    "uvicorn": {"api.listening"},
    "h11": {"api.listening"},
    # the only SQL
    "sqlite3": {"store", "migrations"},
}

# No clock, no outside world, no randomness of their own.
PURE = (
    "analysis",
    "calibration",
    "posterior",
    "entrants",
    "standing",
    "racing",
    "comparing",
    "paired_race",
    "matching",
    "projecting",
    "fleets",
    "recommendation",
    "effects",
    "search",
    "verdicts",
    "search_maximum",
    "schedule",
    "protocols",
    "placeholders",
    "contradictions",
    "expressions",
    "sweeping",
    "combinations",
    "unmet",
    "needs",
    "fitting",
    "defaults",
    "units",
)
IMPURE = {
    "time", "datetime", "random", "secrets", "uuid", "os", "sys", "io", "pathlib", "shutil",
    "tempfile", "subprocess", "threading", "multiprocessing", "socket", "select", "signal",
    "sqlite3", "logging", "psutil", "docker", "httpx", "urllib", "requests",
}  # fmt: skip

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc", "manager"}


@dataclass(frozen=True)
class Import:
    """One import of one module, `inside` a function or at its top."""

    importer: str
    imported: str
    inside: bool
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def modules() -> dict[str, ast.Module]:
    """Every module by its dotted name inside the package; a package's own is its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__" and len(parts) > 1
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


MODULES = modules()


def imports_of(name: str, tree: ast.Module) -> Iterator[Import]:
    """All imports of a module, ours without `rightsizer.`, wherever in it they stand."""

    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}, line {child.lineno}: imports are absolute"
                names = [_target(str(child.module), alias.name) for alias in child.names]
            for found in names:
                yield Import(name, found.removeprefix("rightsizer."), inside, child.lineno)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, inside or is_function)

    return walk(tree, False)


def _target(module: str, name: str) -> str:
    """`from rightsizer import units` imports a module, `from rightsizer.units import usd` not."""
    inner = f"{module}.{name}".removeprefix("rightsizer.")
    return f"{module}.{name}" if module.startswith("rightsizer") and inner in MODULES else module


IMPORTS = [found for name, tree in MODULES.items() for found in imports_of(name, tree)]
OURS = [found for found in IMPORTS if found.imported in MODULES]


def top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def against_the_layers(imports: list[Import]) -> list[str]:
    layers = list(LAYERS)
    return [
        f"{found} ({layers[ROW[top(found.importer)]]} imports {layers[ROW[top(found.imported)]]})"
        for found in imports
        # one in no row has a test of its own
        if {top(found.imported), top(found.importer)} <= set(ROW)
        and ROW[top(found.imported)] > ROW[top(found.importer)]
        and not (found.inside and (top(found.importer), top(found.imported)) in LATE)
    ]


@pytest.mark.parametrize(
    ("importer", "imported", "inside", "wrong"),
    [
        # a peer, and a row above
        ("spec", "documents", False, False),
        ("analysis.steps", "units", False, False),
        # a row below, at the top or inside a function
        ("units", "spec", False, True),
        ("analysis.steps", "runner", True, True),
        # the one exception, and only inside
        ("results", "report.document", True, False),
        ("results", "report.document", False, True),
    ],
)
def test_an_import_from_a_row_below_is_found(importer, imported, inside, wrong):
    assert bool(against_the_layers([Import(importer, imported, inside, 1)])) is wrong


def test_imports_are_found_wherever_they_stand():
    tree = ast.parse(
        "import os\n"
        "from rightsizer import units\n"
        "from rightsizer.errors import InputError\n"
        "if True:\n    import locust.env\n"
        "def f():\n    from rightsizer.report.document import job_document\n"
    )
    assert [(i.imported, i.inside, i.line) for i in imports_of("x", tree)] == [
        ("os", False, 1),
        ("units", False, 2),
        ("errors", False, 3),
        ("locust.env", False, 5),
        ("report.document", True, 7),
    ]
    assert len(OURS) > 50


def test_every_module_stands_in_the_table_of_layers():
    missing = sorted({top(name) for name in MODULES} - set(ROW))
    assert not missing, (
        f"{', '.join(missing)}: in no layer; add each to the row of LAYERS that it belongs to"
    )


def test_the_table_of_layers_names_each_module_once():
    names = [name for row in LAYERS.values() for name in row]
    assert len(names) == len(set(names))


def test_every_module_imports_only_its_own_row_and_the_rows_above():
    wrong = against_the_layers(OURS)
    assert not wrong, "against the layers:\n" + "\n".join(wrong)


def test_every_import_of_ours_names_a_module_that_exists():
    package = {"rightsizer", *(f"rightsizer.{name}" for name in MODULES)}
    unknown = [
        f"{name}, line {node.lineno}, imports {node.module}"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("rightsizer")
        if str(node.module) not in package
    ]
    assert not unknown, "\n".join(unknown)


def test_every_exception_to_the_layers_is_still_needed():
    used = {(top(i.importer), top(i.imported)) for i in OURS if i.inside}
    assert used >= LATE, f"remove {LATE - used} from LATE"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_that_belongs_to_one_place_is_imported_there_alone(library):
    wrong = [
        str(i) for i in IMPORTS if top(i.imported) == library and i.importer not in ONLY_IN[library]
    ]
    assert not wrong, "\n".join(wrong)


def test_what_only_fetching_needs_is_imported_only_where_something_is_fetched():
    wanted = [i for i in IMPORTS if top(i.imported) in ("fsspec", "aiohttp")]
    assert wanted
    assert not [str(i) for i in wanted if not i.inside]


def test_the_packaged_servers_need_nothing_but_the_standard_library_and_numpy():
    allowed = {*sys.stdlib_module_names, "numpy", "instrument"}
    servers = [found for found in IMPORTS if top(found.importer) == "instrument"]
    assert servers
    assert not [str(found) for found in servers if top(found.imported) not in allowed]


def test_what_judges_and_plans_has_no_clock_no_files_and_no_randomness_of_its_own():
    wrong = [str(i) for i in IMPORTS if top(i.importer) in PURE and top(i.imported) in IMPURE]
    assert not wrong, "not pure:\n" + "\n".join(wrong)


def test_no_random_numbers_without_a_seed():
    wrong = []
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            unseeded = called.endswith("default_rng") and not (node.args or node.keywords)
            shared = called.startswith(("np.random.", "numpy.random."))
            if unseeded or (shared and not called.endswith("default_rng")):
                wrong.append(f"{name}, line {node.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_no_module_is_named_for_holding_anything():
    wrong = [name for name in MODULES if FORBIDDEN_NAMES & set(name.split("."))]
    assert not wrong, f"{wrong}: name a module after what it holds"


def test_no_module_shares_its_name_with_a_public_function():
    public = ast.literal_eval(
        next(
            node.value
            for node in MODULES["__init__"].body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
    )
    assert "run" in public
    assert not [name for name in public if name in MODULES]


def test_contributing_names_every_module_in_its_layer():
    text = (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text()
    for layer, names in LAYERS.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| {layer} |")]
        named = {name.rstrip("/") for name in re.findall("`([a-z_]+/?)`", row.split("|")[2])}
        assert named == set(names) - {"__init__"}
