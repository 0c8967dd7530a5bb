"""Both ways: notebooks and table of contents, citations and references, legends and notation, versions."""

import ast
import re
import runpy
import tomllib
from collections import Counter

import pytest
import yaml
from pybtex.database import parse_file, parse_string

import slotnorm
from slotnorm_book.chapters import CHAPTERS, ChapterParameters
from tests.book.chapter import BOOK_PAGES, NOTEBOOKS, calls, citations, glued, markdown, toc_pages
from tests.helpers.paths import ROOT

COMMANDS = "Run it again|Make it again|The same scenes as files"
"""Sections that may follow a chapter's answer."""
MODULES = sorted([*(ROOT / "slotnorm").rglob("*.py"), *(ROOT / "book" / "slotnorm_book").rglob("*.py")])
PLACES = runpy.run_path(str(ROOT / "book" / "_ext" / "paper_places.py"))
PROJECTS = [ROOT / folder / "pyproject.toml" for folder in (".", "data_tools", "book")]


def leaves(cls: type[ChapterParameters]) -> set[type[ChapterParameters]]:
    """The package's subclasses that have none themselves; tests make some of their own."""
    below = [each for each in cls.__subclasses__() if each.__module__.startswith("slotnorm_book.")]
    return set().union(*map(leaves, below)) or {cls}


def test_notebooks_toc_and_parameters_agree() -> None:
    stems = [path.stem for path in NOTEBOOKS]
    chapters = [page for page in toc_pages() if page.startswith("book/chapters/")]
    assert chapters == [f"book/chapters/{stem}" for stem in stems]
    assert list(CHAPTERS) == stems
    assert set(CHAPTERS.values()) == leaves(ChapterParameters)


def test_every_page_is_in_the_toc() -> None:
    assert {f"book/{path.stem}" for path in BOOK_PAGES} == {page for page in toc_pages() if page.count("/") == 1}


def test_every_citation_is_a_reference_and_every_reference_is_cited() -> None:
    references = set(parse_file(ROOT / "book" / "references.bib").entries)
    assert set().union(*map(citations, [*BOOK_PAGES, *NOTEBOOKS])) == references


def test_every_part_of_the_paper_is_somewhere_in_the_book() -> None:
    marked = {
        part
        for path in (*BOOK_PAGES, *NOTEBOOKS)
        for text in re.findall(r"\{paper\}`([^`]+)`", markdown(path))
        for part in PLACES["read_parts"](text)
    }
    assert marked == PLACES["KNOWN"]


def test_a_part_is_read_as_the_pages_write_it() -> None:
    read = PLACES["read_parts"]
    assert read("Eqs. 12-13") == ["Equation 12", "Equation 13"]
    assert read("Fig. 3") == read("Figure 3") == ["Figure 3"]
    assert [*read("Section 5.1"), *read("Appendix B")] == ["Section 5.1", "Appendix B"]
    assert [*read("Proposition 2"), *read("Algorithm 1")] == ["Proposition 2", "Algorithm 1"]


@pytest.mark.parametrize("text", ["Fig. 16", "Section 5.3", "Eqs. 38-40", "Theorem 1", "figure 2", ""])
def test_the_paper_has_no_other_parts(text: str) -> None:
    with pytest.raises(ValueError, match="paper"):
        PLACES["read_parts"](text)


def test_a_term_is_in_the_glossary_and_is_used() -> None:
    page = (ROOT / "book" / "glossary.md").read_text().split("{glossary}")[1]
    listed = set(re.findall(r"^(\w.*)$", page, re.MULTILINE))
    linked = {
        text.rpartition("<")[2].rstrip(">") if text.endswith(">") else text
        for path in (*BOOK_PAGES, *NOTEBOOKS)
        for text in re.findall(r"\{term\}`([^`]+)`", " ".join(markdown(path).split()))
    }
    assert linked == listed


def test_keys_are_unique_in_the_book() -> None:
    keys = Counter(
        key for path in NOTEBOOKS for key in (*calls(path, "show"), *calls(path, "show_table"), *glued(path))
    )
    assert [key for key, count in keys.items() if count > 1] == []


def test_notation_lists_the_letters_of_all_legends() -> None:
    legends = set()
    for path in MODULES:
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        legend = re.search(r"Shape letters: (.*?)(?:\n\n|\Z)", text, re.DOTALL)
        legends |= set(re.findall(r"\b[A-Z]\b", legend[1])) if legend else set()
    table = (ROOT / "book" / "notation.md").read_text().split("| letter | axis |")[1]
    listed = {letter for row in re.findall(r"^\| ([A-Z, ]+) \|", table, re.MULTILINE) for letter in row.split(", ")}
    assert listed == legends


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {tomllib.loads(path.read_text())["project"]["version"] for path in PROJECTS} == {project["version"]}
    assert project["version"] == slotnorm.__version__ == citation["version"] == changelog[0]


def test_the_citation_file_cites_the_paper_as_the_book_does() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    entry = parse_file(ROOT / "book" / "references.bib").entries["krimmel2024attention"]
    assert cited["title"] == re.sub(r"[{}]", "", entry.fields["title"])
    assert str(cited["year"]) == entry.fields["year"]
    assert cited["journal"] == entry.fields["journal"]
    assert [author["family-names"] for author in cited["authors"]] == [p.last_names[0] for p in entry.persons["author"]]


def test_the_page_to_cite_from_agrees_with_references_and_citation_file() -> None:
    blocks = re.findall(r"```bibtex\n(.*?)```", (ROOT / "book" / "cite.md").read_text(), re.DOTALL)
    paper, book = (entry for block in blocks for entry in parse_string(block, "bibtex").entries.values())
    assert paper == parse_file(ROOT / "book" / "references.bib").entries["krimmel2024attention"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert book.fields["title"] == citation["title"]
    assert book.fields["note"] == f"Version {citation['version']}"
    assert book.fields["year"] == str(yaml.safe_load((ROOT / "_config.yml").read_text())["copyright"])
    assert str(book.persons["author"][0]).strip("{}") == citation["authors"][0]["name"]


def test_a_chapter_begins_with_a_question_and_ends_with_its_answer() -> None:
    for path in NOTEBOOKS:
        title, _, text = markdown(path).partition("\n\n")
        assert title.startswith("# "), path.name
        assert re.match(r"\*[^*]+\?\*", text), f"{path.name} does not begin with its question"
        *_, (last, answer) = (
            (heading, body)
            for heading, body in re.findall(r"^## (.*)$([\s\S]*?)(?=^## |\Z)", markdown(path), re.MULTILINE)
            if not re.fullmatch(COMMANDS, heading)
        )
        assert last == "What this page answers", f"{path.name} does not end with its answer"
        assert "{glue:" in answer, f"{path.name} answers without anything computed"


def test_pre_commit_runs_what_make_lint_runs() -> None:
    rule = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [f"\t{hook['entry']}" for hook in local["hooks"]] == rule[1].replace("$(BIN)", ".venv/bin").splitlines()


def test_the_lock_pins_names_and_nothing_else() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.]*", line)] == []


def test_the_lock_pins_every_dependency() -> None:
    projects = [tomllib.loads(path.read_text())["project"] for path in PROJECTS]
    wanted = [requirement for project in projects for requirement in project["dependencies"]]
    wanted += [d for project in projects for extra in project.get("optional-dependencies", {}).values() for d in extra]
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in wanted} - {p["name"] for p in projects}
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert names <= pinned


def test_notation_names_what_the_code_has() -> None:
    source = "\n".join(path.read_text() for path in MODULES)
    page = re.sub(r"\{\w+(:\w+)?\}`[^`]+`", "", (ROOT / "book" / "notation.md").read_text())
    names = {name for code in re.findall(r"`([^`\n]+)`", page) for name in re.findall(r"[a-zA-Z_]{3,}", code)}
    assert len(names) > 20
    assert {name for name in names if not re.search(rf"\b{name}\b", source)} == set()
