"""The rules of the house, read out of the source: who may import whom, who may print, how long things get, what may be tracked."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "aura_cli"

FOUNDATION = {
    "errors",
    "listening",
    "dotenv",
    "settings",
    "console",
    "paging",
    "progress",
    "reporting",
    "transport",
    "words",
    "db",
    "drift",
    "audit",
    "outbox",
}
CAPABILITIES = {
    "users",
    "subscriptions",
    "webhooks",
    "vault",
    "integrations",
    "chat",
    "mail",
    "ratelimit",
    "analytics",
    "insight",
    "cron",
    "environment",
    "completions",
    "sandbox",
}
ASSEMBLY = {"__init__", "__main__", "app", "pages", "runtime"}  # puts rooms together, and belongs to none
HEAVY = {
    "aiohttp",
    "alembic",
    "cryptography",
    "httpx",
    "jwt",
    "msgspec",
    "openai",
    "psycopg",
    "pydantic",
    "sentry_sdk",
    "sqlalchemy",
    "stripe",
}
TOP_LEVEL = {"pyproject.toml", "aura_cli", "migrations", "tests", "completions", "README.md", "Makefile", "LICENSE"}
# Each with a bracket in its middle, so that this file does not hold what it forbids.
FORBIDDEN = re.compile(
    r"--(extra-)?inde[x]-url\s|python[h]osted|pyp[i]\.org|registry\.npm[j]s|/simpl[e]/"  # registries
    r"|(?<![\w.:/}-])/(wor[k]|roo[t]|far[m])/\w"  # folders of one machine
)


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name.

    `at_start`: it runs when the module is imported (not inside a function). `for_types`: it stands under `if TYPE_CHECKING`.
    """

    module: str
    line: int
    at_start: bool
    for_types: bool


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    path: Path

    @cached_property
    def name(self) -> str:
        """Its path in the package, such as `users/commands.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    @cached_property
    def room(self) -> str:
        """Its folder, or for a file directly in the package its own name."""
        return self.path.relative_to(PACKAGE).parts[0].removesuffix(".py")

    @cached_property
    def presents(self) -> bool:
        """Whether it is presentation: parses, calls one function, shows its result."""
        return self.path.name.endswith("commands.py")

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import in it, wherever it stands."""
        return tuple(self._walk(self.tree, at_start=True, for_types=False))

    def _walk(self, node: ast.AST, *, at_start: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_start, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(node)
            yield from (Import(f"{base}.{alias.name}", node.lineno, at_start, for_types) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for typing_only in node.body:
                yield from self._walk(typing_only, at_start=False, for_types=True)
            for otherwise in node.orelse:
                yield from self._walk(otherwise, at_start=at_start, for_types=for_types)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from self._walk(child, at_start=at_start and not inside, for_types=for_types)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = ("aura_cli", *self.path.relative_to(PACKAGE).parts[: -node.level])
        return ".".join((*package, *([node.module] if node.module else [])))


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]


def rooms_imported(module: Module) -> Iterator[tuple[str, Import]]:
    """The rooms a module needs, itself left out; an import for types alone needs nobody."""
    for one in module.imports:
        parts = one.module.split(".")
        if parts[0] == "aura_cli" and len(parts) > 1 and parts[1] not in {module.room, "__version__"} and not one.for_types:
            yield parts[1], one


def lines(offences: Iterator[tuple[Module, int, str]]) -> list[str]:
    """Offences as an editor opens them."""
    return [f"aura_cli/{module.name}:{line}: {what}" for module, line, what in offences]


def test_only_presentation_imports_typer() -> None:
    """Logic can be used without a command line."""
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        if module.name not in {"app.py", "pages.py"} and not module.presents
        for one in module.imports
        if one.module.split(".")[0] in {"typer", "click"}
    )


def test_nobody_imports_another_rooms_commands() -> None:
    """Presentation is the last layer; only `app.py` loads it (by name, when a group is asked for)."""
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        for room, one in rooms_imported(module)
        if re.match(rf"aura_cli\.{room}\.\w*commands\b", one.module) and module.name != "app.py"
    )


def test_foundation_knows_no_capability() -> None:
    """Only `app.py` and `runtime.py` put rooms together."""
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        if module.room in FOUNDATION
        for room, one in rooms_imported(module)
        if room in CAPABILITIES
    )


def test_logic_does_not_know_how_it_is_put_together() -> None:
    """`app.py` and `runtime.py` are known to presentation alone."""
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        if module.room not in ASSEMBLY and not module.presents
        for room, one in rooms_imported(module)
        if room in ASSEMBLY
    )


def test_every_room_is_known() -> None:
    """A new room takes its side here: foundation, capability or assembly."""
    assert {module.room for module in MODULES} <= FOUNDATION | CAPABILITIES | ASSEMBLY


def test_rooms_have_no_cycles() -> None:
    """Each room can be understood, and tested, after those it needs."""
    needs = {room: set[str]() for room in FOUNDATION | CAPABILITIES}
    for module in MODULES:
        if module.room in needs:
            needs[module.room] |= {room for room, _ in rooms_imported(module)} & needs.keys()
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as cycle:
        pytest.fail(f"rooms import each other: {' -> '.join(reversed(cycle.args[1]))}")


def test_nothing_heavy_at_start() -> None:
    """What the root program and the commands import before they run is light, so that help and completion stay fast."""
    light = {f"{name}.py" for name in "__init__ __main__ app console dotenv errors pages paging progress runtime settings words".split()}
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        if module.name in light or module.presents or module.path.name == "__init__.py"
        for one in module.imports
        if one.at_start and one.module.split(".")[0] in HEAVY
    )


@pytest.mark.parametrize("name", [module.name for module in MODULES if module.presents])
def test_nothing_heavy_behind_a_command(name: str) -> None:
    """What a room's commands import in their turn is light, too."""
    module = f"aura_cli.{name.removesuffix('.py').replace('/', '.')}"
    code = f"import sys, {module}; sys.exit(','.join(sorted({HEAVY!r} & sys.modules.keys())) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_settings_read_the_environment() -> None:
    """What a run depends on is read in one place."""
    readers = {"os.environ", "os.getenv", "os.environb"}
    elsewhere = [module for module in MODULES if module.name != "settings.py" and module.room != "sandbox"]
    assert not lines(
        (module, node.lineno, ast.unparse(node))
        for module in elsewhere
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in readers
    )
    assert not lines((module, one.line, one.module) for module in elsewhere for one in module.imports if one.module in readers)


def test_asyncio_stays_in_the_servers() -> None:
    """Logic is ordinary functions; only what serves on a port (listener, loopback answer, sandbox) is asynchronous."""
    assert not lines(
        (module, one.line, one.module)
        for module in MODULES
        if module.room not in {"listening", "sandbox", "webhooks", "integrations"}
        for one in module.imports
        if one.module.split(".")[0] in {"asyncio", "aiohttp"}
    )


def test_only_the_console_writes() -> None:
    """Redaction, `--json` and `-q` hold because there is one way out; `--version` answers before there is a console."""
    assert not lines(
        (module, node.lineno, ast.unparse(node))
        for module in MODULES
        if module.name not in {"console.py", "app.py", "__main__.py"}
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "typer.echo", "typer.secho"})
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"})
    )


def test_only_the_program_exits() -> None:
    """Logic raises; `app.py` and `__main__.py` make exit codes of it."""
    assert not lines(
        (module, node.lineno, ast.unparse(node))
        for module in MODULES
        if module.room not in ASSEMBLY and not module.presents and module.path.name != "__main__.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}
    )


def test_files_and_functions_stay_short() -> None:
    """At most 400 lines a file, tests' too, and 60 a function."""
    tests = (path for path in Path(__file__).parent.rglob("*.py") if "node_modules" not in path.parts)
    assert not [path.name for path in tests if len(path.read_text().splitlines()) > 400]
    assert not lines((module, 1, f"{size} lines") for module in MODULES if (size := len(module.path.read_text().splitlines())) > 400)
    assert not lines(
        (module, node.lineno, f"{node.name} has {size} lines")
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (size := (node.end_lineno or 0) - node.lineno + 1) > 60
    )


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files under version control; outside a clone (a source distribution) there is nothing to look at."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("this is no git clone")
    return [name for name in listing.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def test_top_level_holds_only_what_belongs_there(tracked: list[str]) -> None:
    """The first thing a reader sees stays short; dot files apart."""
    assert {name.split("/")[0] for name in tracked if not name.startswith(".")} <= TOP_LEVEL


def test_no_addresses_of_one_machine_or_registry(tracked: list[str]) -> None:
    """Nothing tracked names a package registry or a machine's own paths."""
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name in tracked
        for number, line in enumerate((REPOSITORY / name).read_text(encoding="utf-8", errors="ignore").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not found
