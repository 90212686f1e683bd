"""`tlru token`: makes tokens, and says what is in one.

Decides how they are asked for and shown. What a token may claim, `tlru.access.claims` decides; who
signs, whoever has the key: a node has none that could.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import SETTINGS, Command, Group, Kinded, show_help_if_alone
from tlru.cli.exits import Exit
from tlru.config.numbers import Duration
from tlru.errors import BadRequest

FILE_BYTES_MAX = 256 << 10
ID_BYTES = 6  # of chance, in an id that nobody has given
SIGNED_LIFE_S = 3_600.0  # unless said
LIFE_S_MAX = 100 * 365 * 86_400.0

_RIGHTS = {
    "read": "What keys begin with that its bearer may read",
    "write": "What keys begin with that it may write",
    "subscribe": "What keys and channels begin with that it may watch",
    "publish": "What channels begin with that it may publish on",
}


@click.group("token", cls=Group, context_settings=SETTINGS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Make tokens for clients, and look at them."""
    show_help_if_alone(ctx)


def _rights(work: Any) -> Any:
    for name, said in reversed(_RIGHTS.items()):
        text = f"{said}; '' is everything. Repeat it for others."
        work = click.option(f"--{name}", multiple=True, metavar="PREFIX", help=text)(work)
    return work


@click.command(
    "make",
    cls=Command,
    examples=[
        "tlru token make --id shop --read product: --subscribe product: >shop.token",
        "tlru token make --id ops --admin --read '' --life 90d",
        "tlru token make --id shop --read product: --life 1h --key signing.pem",
    ],
)
@click.option("--id", "id", default=None, metavar="NAME", help="Whose it is. [default: by chance]")
@click.option(
    "--class", "client_class", default="default", metavar="NAME", help="The client class."
)
@_rights
@click.option("--admin", is_flag=True, help="It may change nodes and settings.")
@click.option(
    "--life",
    type=Kinded(Duration(1.0, LIFE_S_MAX)),
    default=None,
    help="How long it is good. [default: a signed one 1h, another for ever]",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    metavar="FILE",
    help="Sign it (JWT) with this private key, as PEM: RSA or Ed25519.",
)
@click.option("--key-id", default=None, metavar="NAME", help="What nodes know the key by (`kid`).")
def make(
    id: str | None,
    client_class: str,
    admin: bool,
    life: float | None,
    key: Path | None,
    key_id: str | None,
    **rights: tuple[str, ...],
) -> Exit:
    """Print a token, and say what nodes have to be told.

    Without --key it is a random text, and a line for the nodes' tokens_file is printed on stderr:
    nodes keep its hash and never see it. With --key it is signed and carries its rights itself;
    nodes know the public key (jwt_keys).
    """
    import secrets

    from tlru.access import claims, static

    name = id or secrets.token_hex(ID_BYTES)
    told: dict[str, Any] = {right: list(found) for right, found in rights.items() if found}
    told["class"] = client_class
    if admin:
        told["admin"] = True
    try:
        claims.rights_of(told)
    except claims.WrongClaim as problem:
        raise BadRequest(str(problem)) from problem
    if not (admin or any(rights.values())):
        say.word("it allows nothing: give it --read, --write, --subscribe, --publish or --admin")
    if key is not None:
        print(_signed(key, key_id, name, told, life))
        return Exit.OK
    if key_id is not None:
        raise click.UsageError("--key-id goes with --key")
    token = static.make()
    row = {"hash": static.hashed(token), **told}
    try:
        (grant,) = static.parse(static.table_line(name, row)).values()
    except static.WrongTokens as problem:
        raise BadRequest(str(problem)) from problem
    if life is not None:
        grant = replace(grant, expires=time.time() + life)
    print(token)
    say.word("its line for the tokens_file of all nodes, which take it up when they reload:")
    print(static.line(grant), file=sys.stderr)
    return Exit.OK


def _signed(
    key: Path, key_id: str | None, name: str, rights: dict[str, Any], life: float | None
) -> str:
    from tlru.access import signing, static

    now = int(time.time())
    ends = now + int(SIGNED_LIFE_S if life is None else life)
    try:
        return signing.signed(_read(key), name, rights, now=now, ends=ends, key_id=key_id)
    except static.WrongTokens as problem:
        raise BadRequest(f"--key: {key}: {problem}") from problem


@click.command("inspect", cls=Command, examples=["tlru token inspect shop.token"])
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")
@click.pass_obj
def inspect(session: Session, file: Path, as_json: bool) -> Exit:
    """Say what a token in a file claims, or `-` for stdin; whether it is true only a node can say.

    Of a token that is not signed there is nothing to be seen but the hash that nodes know it by.
    The exit status is 1 where it is not good now.
    """
    from tlru.access import static

    session.json = as_json
    token = _read(file).decode("utf-8", "replace").strip()
    facts: dict[str, Any] = {"hash": static.hashed(token)}
    if token.count(".") == 2:
        facts = _claimed(token)
    now, ends, begins = time.time(), facts.get("exp"), facts.get("nbf")
    over = isinstance(ends, int | float) and ends <= now
    early = isinstance(begins, int | float) and begins > now
    if "hash" not in facts:
        facts["good_now"] = not (over or early)
    if as_json:
        say.json_line(facts)
    else:
        for name, fact in facts.items():
            print(f"{name:9} {say.one_line(_shown(name, fact))}")
    return Exit.ABSENT if over or early else Exit.OK


def _claimed(token: str) -> dict[str, Any]:
    from tlru.access import signing, static

    try:
        return signing.claimed(token)
    except static.WrongTokens as problem:
        raise BadRequest(str(problem)) from problem


def _shown(name: str, fact: Any) -> str:
    if name in ("exp", "nbf", "iat") and isinstance(fact, int | float):
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(fact))
        return f"{moment} ({fact - time.time():+,.0f} s)"
    return str(fact)


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(FILE_BYTES_MAX)
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES_MAX)
    except OSError as exc:
        raise BadRequest(f"{file} cannot be read: {exc.strerror or exc}") from exc


for _each in (make, inspect):
    command.add_command(_each)
