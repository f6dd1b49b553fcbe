"""What every test shares: required markers in CI, and the full counts of `make soak`."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Programs that tests start would each compile the kernel; tests/e2e/test_compiled_kernel.py lets one do it.
os.environ.setdefault("TWIN_KERNEL", "numpy")

REQUIRED = {
    line.split("#")[0].strip() for line in (Path(__file__).parent / "ci-required.txt").read_text().splitlines()
} - {""}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI a skip of a required marker is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        required = REQUIRED & {mark.name for mark in item.iter_markers()}
        if required:
            report.outcome = "failed"
            report.longrepr = f"skipped, but CI requires the marker {', '.join(sorted(required))}: {report.longrepr}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TWIN_TEST_SOAK") != "1":
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="full counts: run by `make soak`"))
