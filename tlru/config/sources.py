"""Where a configuration comes from: defaults under a TOML file under the environment under flags.

Decides which source wins and which names each may hold. A heavier source replaces the value of a
lighter one as a whole, lists and labels too. Every value is judged where it stands, also one that a
heavier source replaces, so a mistake never waits for the day on which it counts.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from tlru.config.checks import cross_checks
from tlru.config.mistakes import ConfigError, Kind, Mistake, Origin, WrongValueError
from tlru.config.options import ENV_PREFIX, Option
from tlru.config.settings import OPTIONS, Config
from tlru.config.toml_file import TomlFile, read_toml

# Variables with our prefix that are no options of a node: the command line reads them.
OTHER_VARIABLES = frozenset(
    {"TLRU_CONFIG", "TLRU_SERVER", "TLRU_SERVERS_FILE", "TLRU_CACHE", "TLRU_TIMEOUT"}
)

# What Kubernetes sets in every container for a service named `tlru` or `tlru-...`.
_SERVICE_VARIABLE = re.compile(
    r"TLRU_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)",
    re.ASCII,
)
_SERVICE_PORT = re.compile(r"(?:tcp|udp|sctp)://")
# How alike two names must be for one to be taken for the other mistyped.
_LIKENESS = 0.75

_BY_NAME = {one.name: one for one in OPTIONS}
_BY_GUESS = {guess: one for one in OPTIONS for guess in one.spec.guesses}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration, where each value came from, and what the reader should be told."""

    config: Config
    origins: Mapping[str, Origin]
    notes: tuple[str, ...] = ()


class _Reading:
    """The values read so far, heaviest last, and the mistakes met on the way."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {one.name: one.default for one in OPTIONS}
        self.origins = {one.name: Origin(Kind.DEFAULT) for one in OPTIONS}
        self.mistakes: list[Mistake] = []
        self.notes: list[str] = []
        self._wrong: set[str] = set()

    def take(self, option: Option, found: object, origin: Origin, *, is_text: bool) -> None:
        """Read one value; it replaces a lighter one."""
        self.origins[option.name] = origin
        try:
            value = option.kind.from_text(str(found)) if is_text else option.kind.from_value(found)
        except WrongValueError as problem:
            self.refuse(origin, str(problem))
            self._wrong.add(option.name)
        else:
            self.values[option.name] = value

    def refuse(self, origin: Origin, problem: str) -> None:
        """Note a mistake, and go on looking for more."""
        self.mistakes.append(Mistake(origin, problem))

    def result(self) -> Resolved:
        """The configuration. Raises `ConfigError` where anything was wrong."""
        usable = {name: value for name, value in self.values.items() if name not in self._wrong}
        self.mistakes += cross_checks(usable, self.origins)
        if self.mistakes:
            raise ConfigError(sorted(self.mistakes, key=_reading_order))
        return Resolved(Config(**self.values), self.origins, tuple(self.notes))


def _reading_order(mistake: Mistake) -> tuple[int, int]:
    """Lighter sources first, a file from top to bottom."""
    return (list(Kind).index(mistake.origin.kind), mistake.origin.line or 0)


def resolve(
    file: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Resolved:
    """The configuration that the sources make up, and where each value of it came from.

    `env` is this process's environment unless given. Raises `ConfigError` with every mistake.
    """
    reading = _Reading()
    if file is not None:
        _read_file(reading, file)
    _read_environment(reading, os.environ if env is None else env)
    _read_flags(reading, flags or {})
    return reading.result()


def nearest(name: str) -> Option | None:
    """The option that somebody may have meant who wrote `name`."""
    name = name.lower().replace("-", "_")
    if (guessed := _BY_NAME.get(name) or _BY_GUESS.get(name)) is not None:
        return guessed
    alike = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=_LIKENESS)
    return _BY_NAME[alike[0]] if alike else None


def _unknown(meant: str) -> str:
    return f"there is no such option; did you mean {meant}?" if meant else "there is no such option"


def _read_file(reading: _Reading, path: str | os.PathLike[str]) -> None:
    try:
        file = read_toml(path)
    except ConfigError as unreadable:
        reading.mistakes += unreadable.mistakes
        return
    for name, found in file.values.items():
        option = _BY_NAME.get(name)
        if option is not None:
            reading.take(option, found, file.origin(name), is_text=False)
        elif isinstance(found, dict) and any(inner in _BY_NAME for inner in found):
            reading.refuse(
                file.origin(name), "there is no such table; options stand above all tables"
            )
        else:
            meant = nearest(name)
            reading.refuse(file.origin(name), _unknown(meant.name if meant else ""))
    for origin, problem in _strays(file):
        reading.refuse(origin, problem)


def _strays(file: TomlFile) -> Iterator[tuple[Origin, str]]:
    """Options that stand below `[label]`, where TOML makes labels of them."""
    label = file.values.get("label")
    for name in label if isinstance(label, dict) else ():
        if name in _BY_NAME:
            yield (
                file.origin("label", name),
                f"stands below [label], so it is a label and not the option {name}; "
                "move it above [label]",
            )


def _read_environment(reading: _Reading, env: Mapping[str, str]) -> None:
    by_variable = {one.env: one for one in OPTIONS}
    for variable in sorted(env):
        found = env[variable]
        if variable in by_variable:
            # Set but empty is how shells and compose files say "not set".
            if found:
                origin = Origin(Kind.ENVIRONMENT, variable)
                reading.take(by_variable[variable], found, origin, is_text=True)
        elif variable.startswith(ENV_PREFIX) and not _is_for_others(variable, found):
            _judge_unknown_variable(reading, variable)


def _is_for_others(variable: str, found: str) -> bool:
    if variable in OTHER_VARIABLES or _SERVICE_VARIABLE.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and _SERVICE_PORT.match(found) is not None


def _judge_unknown_variable(reading: _Reading, variable: str) -> None:
    """A slip of the pen stops the node; a name that is like none of ours may be somebody else's."""
    meant = nearest(variable.removeprefix(ENV_PREFIX))
    if meant is not None:
        reading.refuse(Origin(Kind.ENVIRONMENT, variable), _unknown(meant.env))
    else:
        reading.notes.append(f"{variable} is set, but there is no such option; it is ignored")


def _read_flags(reading: _Reading, flags: Mapping[str, object]) -> None:
    for name, found in flags.items():
        option = _BY_NAME.get(name)
        if option is None:
            meant = nearest(name)
            flag = Origin(Kind.FLAG, "--" + name.replace("_", "-"))
            reading.refuse(flag, _unknown(meant.flag if meant else ""))
            continue
        if option.kind.many and _is_texts(found):
            found = ",".join(found)
        origin = Origin(Kind.FLAG, option.flag)
        reading.take(option, found, origin, is_text=isinstance(found, str))


def _is_texts(found: object) -> TypeGuard[Sequence[str]]:
    return isinstance(found, (list, tuple)) and all(isinstance(one, str) for one in found)
