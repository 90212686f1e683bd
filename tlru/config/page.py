"""The table of options as text: the tables of docs/configuration.md, and a TOML file.

Decides how options are laid out for reading. `python -m tlru.config.page` writes both files of the
repository anew; a test compares them with what stands here, so neither can drift from the table.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from tlru.config.options import Option, Section
from tlru.config.settings import OPTIONS, Config

BEGIN, END = "<!-- options: begin -->", "<!-- options: end -->"
PAGE = Path("docs/configuration.md")
EXAMPLE = Path("config/every-option.toml")

_COMMENT_CHARS = 92
_EXAMPLE_HEAD = """\
# Every option of a tlru node with its default, in the order of docs/configuration.md.
# Copy the lines that you change; what is left out keeps its default.
"""


def markdown() -> str:
    """One table for each section."""
    return "\n".join(_section_table(section) for section in Section)


def filled(page: str) -> str:
    """The page with what stands between its two marks replaced by the tables of today."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"the page has no {BEGIN} ... {END}"
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


def toml(config: Config, *, comments: bool = False, secrets: bool = True) -> str:
    """A TOML file that reads back as `config`; `comments` explains every option in it. Without
    `secrets`, where there is one stands a comment that says so."""
    tables = [one for one in OPTIONS if isinstance(_toml_value(one, config), dict)]
    lines: list[str] = []
    section = None
    for one in sorted(OPTIONS, key=tables.__contains__):  # TOML wants tables below all plain keys
        if comments and one not in tables and one.spec.section is not section:
            section = one.spec.section
            lines += ["", f"## {section}"]
        if one.kind.hidden and not secrets and getattr(config, one.name):
            lines.append(f"# {one.name} is set, and not shown")
        else:
            lines += _toml_lines(one, config, comments=comments)
    return "\n".join(lines).strip() + "\n"


def _section_table(section: Section) -> str:
    rows = [
        f"| `{one.name}` | {_cell(one.shown_default())} | {_text(one.spec.help)} | "
        f"{_text(one.kind.takes)} | {one.spec.change} |"
        for one in OPTIONS
        if one.spec.section is section
    ]
    head = [
        "| option | default | what it does | what it takes | changes with a |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([f"### {section}", "", *head, *rows, ""])


def _cell(default: str) -> str:
    return f"`{default}`" if default else "nothing"


def _text(words: str) -> str:
    return words.replace("|", "\\|").replace("*", "\\*")


def _toml_value(one: Option, config: Config) -> object:
    return one.kind.to_toml(getattr(config, one.name))


def _toml_lines(one: Option, config: Config, *, comments: bool) -> list[str]:
    value = _toml_value(one, config)
    said = [
        f"# {line}" for line in textwrap.wrap(one.spec.help, _COMMENT_CHARS) if comments and line
    ]
    if isinstance(value, dict):
        if not value and not comments:
            return []
        inside = [f"{_literal(name)} = {_literal(word)}" for name, word in value.items()]
        return ["", *said, f"[{one.name}]", *inside]
    return [*said, f"{one.name} = {_literal(value)}"]


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_literal(one) for one in value)}]"
    # For what an option may hold, JSON's strings, numbers and booleans are TOML's.
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write the page and the example anew; run from the top of the repository."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    EXAMPLE.write_text(example(), "utf-8")


def example() -> str:
    """The text of config/every-option.toml."""
    return f"{_EXAMPLE_HEAD}\n{toml(Config(), comments=True)}"


if __name__ == "__main__":
    main()
