"""Compare notebooks and references in several arithmetic environments, and list what moves.

Run as ``python -m tests.arithmetic``, with ``--only NAME`` for some environments, and with paths for some notebooks or
tests. It takes minutes for each environment; the exit status is 1 where something moved.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.arithmetic.environments import Environment, environments, process_environment
from tests.helpers.paths import ROOT

COMPARED = ("notebooks", "tests/conformance", "tests/claims", "tests/slotnorm_book/theory")
CELL_TIMEOUT = 900
"""Seconds; some environments are many times slower."""


def moved(environment: Environment, paths: list[str]) -> list[str]:
    """Return the names of the cells and tests that fail in an environment; what pytest prints is shown.

    Raises:
        RuntimeError: pytest did not get as far as a report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", "--tb=short"]
        command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", str(CELL_TIMEOUT)]
        command += ["--nbval-sanitize-with", "tests/book/nbval_sanitize.cfg", f"--junitxml={report}", *paths]
        done = subprocess.run(command, cwd=ROOT, env=process_environment(environment), check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest ended with status {done.returncode} in the environment {environment.name!r}")
        return failures(report)


def failures(report: Path) -> list[str]:
    """Return the failed cells and tests of a report in JUnit's format, such as ``07_beyond In [10]``."""
    cases = ElementTree.parse(report).iter("testcase")
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return [_name(case.get("classname", ""), case.get("name", "")) for case in failed]


def _name(where: str, name: str) -> str:
    cell = re.fullmatch(r"Cell (\d+)", name)  # nbval counts from 0, Jupyter from 1
    return f"{where.split('.')[-1]} In [{int(cell[1]) + 1}]" if cell else f"{where}::{name}"


def table(found: dict[str, list[str]]) -> str:
    """Return one line for each environment: its name and what moved there."""
    width = max(map(len, found))
    return "\n".join(f"{name:{width}}  {'; '.join(what) or 'nothing moved'}" for name, what in found.items())


def main() -> int:
    """Run what the command line asks for and print the table."""
    known = environments()
    parser = argparse.ArgumentParser(prog="python -m tests.arithmetic", description=str(__doc__).split("\n")[0])
    parser.add_argument("paths", nargs="*", default=COMPARED, help="notebooks and tests; default: %(default)s")
    names = [each.name for each in known]
    parser.add_argument("--only", action="append", choices=names, help="an environment; may be repeated")
    asked = parser.parse_args()
    shown, failed = {}, False
    for each in known:
        if each.name not in (asked.only or names):
            continue
        if each.skipped:
            shown[each.name] = [f"skipped: {each.skipped}"]
            continue
        print(f"--- {each.name}: {each.variables}", flush=True)
        shown[each.name] = moved(each, list(asked.paths))
        failed = failed or bool(shown[each.name])
    print(f"\n{table(shown)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
