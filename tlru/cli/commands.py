"""How commands describe themselves: help that teaches, with examples and options in groups.

Decides the shape of `--help` and of a usage error; knows no command. `Kinded` lets a flag take what
an option of a node takes, durations and sizes with units, and say the same when it is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from tlru.config.kinds import Kind
from tlru.config.mistakes import WrongValueError

# Wide enough for a line of prose on a wide terminal; narrower ones are followed.
HELP_WIDTH_MAX = 100
# The heading of what is a command's own; it comes first.
OWN = "Options"
# Stands in help texts where a line must not end: between "[default:" and what it is.
NO_BREAK = "\u00a0"

SETTINGS: dict[str, Any] = {  # Any: click's own type for it
    "help_option_names": ["-h", "--help"],
    "max_content_width": HELP_WIDTH_MAX,
}


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]  # Any: flags of all types
else:
    _ParamType = click.ParamType  # before click 8.4 it takes no parameter


class Kinded(_ParamType):
    """The type of a flag that is read as an option of that kind is."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.name = kind.metavar

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return self.kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value  # a default, which is what it should be
        try:
            return self.kind.from_text(value)
        except WrongValueError as problem:
            self.fail(str(problem), param, ctx)


class Text(_ParamType):
    """A key or the beginning of keys: any text, as long as it is UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # What the shell passed and is not UTF-8 comes as half surrogate pairs.
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8 text, as keys are", param, ctx)
        return value


class Flag(click.Option):
    """A flag that stands under a heading of the help."""

    def __init__(self, *args: Any, section: str = OWN, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Group(click.Group):
    """Commands under one name; a name that is none of them is told with what was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names:
            alike = difflib.get_close_matches(args[0], names, n=1)
            meant = f"; did you mean {alike[0]}?" if alike else ""
            ctx.fail(f"there is no command {args[0]!r}{meant}")
        return super().resolve_command(ctx, args)


def show_help_if_alone(ctx: click.Context) -> None:
    """For the callback of a group: without a command it shows its help."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


class Command(click.Command):
    """A command whose help has examples, and options by their headings."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace(NO_BREAK, " ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples first: most who read a help page want one of them."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        for heading, records in self._by_section(ctx):
            with formatter.section(heading):
                formatter.write_dl(records)

    def _by_section(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        sections: dict[str, list[tuple[str, str]]] = {OWN: []}
        for param in self.get_params(ctx):
            # Arguments are told in words above; newer versions of click would list them here too.
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", OWN), []).append(record)
        yield from sections.items()
