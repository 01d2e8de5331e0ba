"""What every test may use: the services of `tests/parts`, the whole-run switch, and skips that nobody overlooks."""

import gc
import os
from collections import Counter
from collections.abc import Generator

import hypothesis
import pytest

from tests.parts.sampling import WHOLE

pytest_plugins = ["tests.parts.kent", "tests.parts.migrated", "tests.parts.postgres", "tests.parts.program"]

CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile("aura", derandomize=True, database=None, deadline=None, max_examples=1000 if WHOLE else 50)
hypothesis.settings.load_profile("aura")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `whole` to whole runs."""
    if WHOLE:
        return
    left_out = [item for item in items if item.get_closest_marker("whole")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not in what stays until the end anyhow: it was an eighth of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, where every part is installed, a skipped test has failed."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.longrepr, report.outcome = f"skipped in CI: {_reason(report)}", "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    if CI and report.skipped:
        report.longrepr, report.outcome = f"skipped in CI: {_reason(report)}", "failed"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what this machine could not test, and what would change that."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("not tested on this machine", yellow=True)
    for reason, tests in sorted(reasons.items()):
        terminalreporter.line(f"{tests} skipped: {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
