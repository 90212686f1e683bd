"""`tlru certs`: an authority for trying things out, certificates for nodes, and what is in a file.

Decides where the files stand and who may read them. Nothing that is there is overwritten unasked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import SETTINGS, Command, Group, Kinded, show_help_if_alone
from tlru.cli.exits import Exit
from tlru.config.kinds import Name
from tlru.errors import BadRequest

if TYPE_CHECKING:
    from cryptography import x509

    from tlru.cli.issuing import Issued

_Work = TypeVar("_Work", bound=Callable[..., Any])  # Any: a command takes flags of many types

AUTHORITY = "ca"  # ca.pem, ca.key
AUTHORITY_DAYS = 3_650
NODE_DAYS = 365  # what browsers still take
DAYS_MAX = 36_500
FILE_BYTES_MAX = 1 << 20
SECRET_MODE, OPEN_MODE = 0o600, 0o644

_FORCE = click.option("--force", is_flag=True, help="Overwrite what is there.")


def _days(default: int) -> Callable[[_Work], _Work]:
    return click.option(
        "--days",
        type=click.IntRange(1, DAYS_MAX),
        default=default,
        metavar="DAYS",
        help=f"How long it is valid. [default: {default}]",
    )


@click.group("certs", cls=Group, context_settings=SETTINGS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Make certificates for nodes, and look at them."""
    show_help_if_alone(ctx)


@click.command(
    "authority",
    cls=Command,
    examples=["tlru certs authority certs", "tlru certs authority certs --name 'test cluster'"],
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", default="tlru authority", metavar="TEXT", help="What it calls itself.")
@_days(AUTHORITY_DAYS)
@_FORCE
def authority(folder: Path, name: str, days: int, force: bool) -> Exit:
    """Make an authority: DIR/ca.pem, which all may see, and DIR/ca.key, which nobody may.

    Whoever has ca.key can make a certificate for any node, so it belongs on no node. This authority
    is for trying things out and for clusters that only you use; one that is run by people or
    programs whose work it is (cert-manager, Vault, step-ca) does the same for production.
    """
    from tlru.cli import issuing

    if not 0 < len(name) <= 64 or not name.isprintable():
        raise click.BadParameter("1 to 64 printable characters", param_hint="--name")
    _write(folder, AUTHORITY, issuing.authority(name, days), force=force)
    say.word(f"made {folder / 'ca.pem'} and {folder / 'ca.key'}, which is secret")
    say.word(f"next, for each node: tlru certs node {folder} --id n1 --host n1.example")
    say.word(f"and clients are told whom to believe: tlru status --ca {folder / 'ca.pem'}")
    return Exit.OK


@click.command(
    "node",
    cls=Command,
    examples=[
        "tlru certs node certs --id n1 --host localhost --host 127.0.0.1",
        "tlru certs node certs --id n1 --host n1.example --force   # renew it",
    ],
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--id", "id", required=True, type=Kinded(Name()), help="The node's id.")
@click.option(
    "--host",
    "hosts",
    required=True,
    multiple=True,
    metavar="HOST",
    help="A name or address at which clients or nodes reach it; repeat it for others.",
)
@_days(NODE_DAYS)
@_FORCE
def node(folder: Path, id: str, hosts: tuple[str, ...], days: int, force: bool) -> Exit:
    """Make a node's certificate, DIR/ID.pem, and its key, DIR/ID.key, with the authority in DIR.

    It names the node's id, and is good for that node alone. The same pair serves clients and other
    nodes. A node that runs takes up a new pair within seconds, by itself.
    """
    from tlru.cli import issuing

    if id == AUTHORITY:
        raise click.BadParameter("ca is the name of the authority's files", param_hint="--id")
    issuer = issuing.Issued(_read(folder / "ca.pem", folder), _read(folder / "ca.key", folder))
    _write(folder, id, issuing.node(issuer, id, hosts, days), force=force)
    pem, key, ca = (folder / name for name in (f"{id}.pem", f"{id}.key", "ca.pem"))
    say.word(f"made {pem} and {key}, which is secret; take both and {ca} to the node, not ca.key")
    say.word(f"for clients: tlru serve --id {id} --tls-cert {pem} --tls-key {key}")
    say.word(f"between nodes, on all of them: --mesh-cert {pem} --mesh-key {key} --mesh-ca {ca}")
    return Exit.OK


@click.command("show", cls=Command, examples=["tlru certs show certs/n1.pem"])
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")
@click.pass_obj
def show(session: Session, file: Path, as_json: bool) -> Exit:
    """Say whom the certificates in a file are for, who vouches for them, and how long.

    Keys are not looked at. The exit status is 1 where a certificate is not valid now.
    """
    from cryptography import x509

    session.json = as_json
    try:
        found = x509.load_pem_x509_certificates(_read(file, file.parent))
    except ValueError as exc:
        raise BadRequest(f"{file} holds no certificates as PEM: {exc}") from exc
    told = [_facts(each) for each in found]
    if as_json:
        say.json_line({"certificates": told})
    else:
        for each in told:
            _print(each)
    return Exit.OK if all(each["valid"] for each in told) else Exit.ABSENT


for _each in (authority, node, show):
    command.add_command(_each)


def _facts(certificate: x509.Certificate) -> dict[str, Any]:
    from tlru.node.tls import names_in

    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.now(UTC)
    nodes, hosts = names_in(certificate)
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "nodes": sorted(nodes),
        "hosts": hosts,
        "not_before": begin.isoformat(),
        "not_after": end.isoformat(),
        "days_left": (end - now).days,
        "valid": begin <= now <= end,
    }


def _print(facts: dict[str, Any]) -> None:
    own = facts["subject"] == facts["issuer"]
    lines = {
        "subject": facts["subject"],
        "issuer": "itself: an authority" if own else facts["issuer"],
        "nodes": ", ".join(facts["nodes"]) or "none: it cannot be shown to other nodes",
        "hosts": ", ".join(facts["hosts"]) or "none",
        "valid": f"{facts['not_before']} to {facts['not_after']}"
        + ("" if facts["valid"] else ", which is not now"),
    }
    if own:
        del lines["nodes"], lines["hosts"]
    for name, text in lines.items():
        print(f"{name:8} {say.for_terminal(text)}")


def _read(path: Path, folder: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except FileNotFoundError as exc:
        hint = f"; `tlru certs authority {folder}` makes it" if path.stem == AUTHORITY else ""
        raise BadRequest(f"there is no {path}{hint}") from exc
    except OSError as exc:
        raise BadRequest(f"{path} cannot be read: {exc.strerror or exc}") from exc


def _write(folder: Path, name: str, issued: Issued, *, force: bool) -> None:
    """The key first: a certificate without its key is of less use than the other way round."""
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    _look_whether_there(key, pem, force=force)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _put(key, issued.key, SECRET_MODE, force=force)
        _put(pem, issued.certificate, OPEN_MODE, force=force)
    except FileExistsError:
        _look_whether_there(key, pem, force=False)
        raise
    except OSError as exc:
        raise BadRequest(f"{exc.filename or folder}: {exc.strerror}; nothing was kept") from exc


def _look_whether_there(*paths: Path, force: bool) -> None:
    there = [str(path) for path in _existing(paths)]
    if there and not force:
        raise BadRequest(f"{' and '.join(there)} exist already; --force overwrites them")


def _existing(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if os.path.lexists(path)]


def _put(path: Path, data: bytes, mode: int, *, force: bool) -> None:
    """Whole or not at all, and never readable by others on the way."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    number = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, mode)
            file.write(data)
            file.flush()
            os.fsync(number)
        if force:
            made.replace(path)
        else:
            os.link(made, path)  # unlike a rename, it fails where something is there
    finally:
        made.unlink(missing_ok=True)
