"""`tlru certs`: what it makes, who may read it, and a node and commands that use it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.cli.commands import tlru
from tlru.cli.exits import Exit


def test_an_authority_and_a_node_of_it_are_made_and_shown(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    made = tlru("certs", "authority", str(folder))
    assert (made.status, made.out) == (Exit.OK, "")
    assert f"next, for each node: tlru certs node {folder} --id" in made.err
    made = tlru(
        *("certs", "node", str(folder), "--id", "n-1.b"),
        *("--host", "localhost", "--host", "::1", "--host", "127.0.0.1"),
    )
    assert made.status == Exit.OK
    assert f"--tls-cert {folder / 'n-1.b.pem'}" in made.err
    names = {"ca.pem", "ca.key", "n-1.b.pem", "n-1.b.key"}
    assert {each.name for each in folder.iterdir()} == names, "nothing else is left there"
    for name in names:
        mode = stat.S_IMODE((folder / name).stat().st_mode)
        assert mode == (0o600 if name.endswith(".key") else 0o644)
    (told,) = tlru("certs", "show", str(folder / "n-1.b.pem"), "--json").json["certificates"]
    assert (told["nodes"], told["valid"], told["days_left"]) == (["n-1.b"], True, 364)
    assert sorted(told["hosts"]) == ["127.0.0.1", "::1", "localhost"]
    shown = tlru("certs", "show", str(folder / "ca.pem"))
    assert "itself: an authority" in shown.out


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert tlru("certs", "authority", folder).status == Exit.OK
    before = (tmp_path / "ca.key").read_bytes()
    refused = tlru("certs", "authority", folder)
    assert refused.status == Exit.REFUSED
    assert "ca.key and " in refused.err
    assert "--force overwrites them" in refused.err
    (tmp_path / "n1.key").write_text("somebody's")
    refused = tlru("certs", "node", folder, "--id", "n1", "--host", "localhost")
    assert refused.status == Exit.REFUSED
    assert (tmp_path / "n1.key").read_text() == "somebody's"
    assert not (tmp_path / "n1.pem").exists()
    assert tlru("certs", "authority", folder, "--force").status == Exit.OK
    assert (tmp_path / "ca.key").read_bytes() != before
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("node", "{}", "--id", "n1", "--host", "localhost"), Exit.REFUSED, "tlru certs authority"),
        (("node", "{}", "--id", "ca", "--host", "localhost"), Exit.USAGE, "authority's files"),
        (("node", "{}", "--id", "n 1", "--host", "localhost"), Exit.USAGE, "--id"),
        (("node", "{}", "--id", "n1"), Exit.USAGE, "--host"),
        (("authority", "{}", "--days", "0"), Exit.USAGE, "--days"),
        (("authority", "{}", "--name", ""), Exit.USAGE, "--name"),
        (("show", "{}/nothing.pem"), Exit.REFUSED, "there is no"),
        (("show", "{}/text.pem"), Exit.REFUSED, "holds no certificates as PEM"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, argv: tuple[str, ...], status: Exit, said: str
) -> None:
    (tmp_path / "text.pem").write_text("hello")
    ran = tlru("certs", *(each.format(tmp_path) for each in argv))
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


def test_a_certificate_that_has_expired_is_said_to(tmp_path: Path) -> None:
    expired = Authority(tmp_path).node("n1", days=-1)
    ran = tlru("certs", "show", str(expired))
    assert ran.status == Exit.ABSENT
    assert "which is not now" in ran.out
