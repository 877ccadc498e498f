"""The promises of docs/trust.md, collected from markers on the tests that prove them.

    @pytest.mark.promise("Encoded files", "Weights that overflow show defined colors.")
    def test_...

`python -m tests.house.promises` writes them into the page, between its markers.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trust.md"
START, END = "<!-- promises: written by python -m tests.house.promises -->", "<!-- end of promises -->"
SECTIONS = (
    "Encoded files",
    "Videos that are read",
    "Interruption",
    "Diverging training",
    "Downloads",
    "No code from data",
    "Many at once",
)


def promises() -> list[tuple[str, str, str]]:
    """Section, promise and test of every marker, by file and line."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for marker in getattr(node, "decorator_list", []):
                if isinstance(marker, ast.Call) and ast.unparse(marker.func) == "pytest.mark.promise":
                    section, text = map(ast.literal_eval, marker.args)
                    found.append((section, text, f"{path.relative_to(ROOT).as_posix()}::{node.name}"))
    return found


def tables() -> str:
    """The tables in Markdown. Raises ValueError for a section that the page does not have."""
    found = promises()
    if unknown := {section for section, _, _ in found} - set(SECTIONS):
        raise ValueError(f"no section of docs/trust.md: {sorted(unknown)}; add it to SECTIONS")
    lines = []
    for section in SECTIONS:
        rows = [f"| {text} | `{test}` |" for where, text, test in found if where == section]
        lines += [f"## {section}", "", "| promise | proven by |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    return f"{before}{START}\n\n{tables()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
