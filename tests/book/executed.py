"""Where execute finds things in a project of one chapter; as a program, ``slotnorm-book execute`` in such a project."""

import multiprocessing
import sys
from pathlib import Path

from slotnorm_book import checkout, execute


def places(root: Path) -> dict[str, Path]:
    """What stands in slotnorm_book.execute for the checkout."""
    return {
        "ROOT": root,
        "NOTEBOOKS": root / "notebooks",
        "PAGES": root / "book" / "chapters",
        "FAILED": root / "_build" / "failed",
    }


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # workers see the project, too
    for name, place in places(Path(sys.argv[1])).items():
        setattr(execute, name, place)
    checkout.SHOWN = Path(sys.argv[1], "parameters.json")
    sys.exit(execute.execute_chapters(["01_vmf_em"], []))
