"""`tlru token`, and commands that say who they are, against a node that wants to know."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.cli.commands import RunningNode, serving, tlru
from tlru.cli.exits import Exit


def _file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def _keys(folder: Path) -> tuple[Path, Path]:
    """A private key, and its public half."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / "signing.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def _ask(node: RunningNode, *argv: str, bearer: str) -> int:
    return node.run(*argv, TLRU_BEARER_FILE=bearer).status


def test_tokens_are_made_and_let_their_bearers_in_and_no_further(tmp_path: Path) -> None:
    private, public = _keys(tmp_path)
    made = tlru("token", "make", "--id", "shop", "--read", "a:", "--write", "a:")
    assert made.status == Exit.OK
    (line,) = [each for each in made.err.splitlines() if each.startswith("shop = ")]
    assert made.out.strip() not in made.err, "the token itself is data alone"
    static = _file(tmp_path / "shop.token", made.out)
    tokens = _file(tmp_path / "tokens.toml", line + "\n")
    signed = tlru("token", "make", "--id", "ops", "--admin", "--read", "", "--key", str(private))
    jwt = _file(tmp_path / "ops.token", signed.out)
    with serving("--tokens-file", tokens, "--jwt-keys", str(public)) as node:
        assert _ask(node, "set", "a:1", "x", bearer=static) == Exit.OK
        assert _ask(node, "get", "a:1", bearer=jwt) == Exit.OK
        assert _ask(node, "node", "list", bearer=jwt) == Exit.OK
        assert _ask(node, "get", "b:1", bearer=static) != Exit.OK
        assert _ask(node, "settings", "set", "max_entries=5", bearer=static) != Exit.OK
        assert _ask(node, "settings", "set", "max_entries=5", bearer=jwt) == Exit.OK
        nobody = _file(tmp_path / "nobody.token", "tlru_guessed\n")
        assert _ask(node, "get", "a:1", bearer=nobody) != Exit.OK
        assert node.run("get", "a:1").status not in (Exit.OK, Exit.ABSENT)


def test_what_is_in_a_token_is_told_and_what_is_none_is_refused(tmp_path: Path) -> None:
    private, _ = _keys(tmp_path)
    signed = tlru(
        *("token", "make", "--id", "ops", "--class", "critical", "--publish", "news"),
        *("--life", "90s", "--key", str(private), "--key-id", "k1"),
    )
    file = _file(tmp_path / "ops.token", signed.out)
    told = tlru("token", "inspect", file, "--json").json
    assert (told["alg"], told["kid"], told["sub"], told["good_now"]) == ("EdDSA", "k1", "ops", True)
    assert told["tlru"] == {"publish": ["news"], "class": "critical"}
    assert told["exp"] - told["iat"] == 90
    assert "hash" in tlru("token", "inspect", _file(tmp_path / "t", "tlru_abc")).out
    assert tlru("token", "inspect", _file(tmp_path / "bad", "a.b.c")).status == Exit.REFUSED
    assert tlru("token", "make", "--read", "a:*").status == Exit.REFUSED
    assert tlru("token", "make", "--read", "a", "--key-id", "k").status == Exit.USAGE
    empty = _file(tmp_path / "empty", "\n")
    assert tlru("get", "k", "--bearer-file", empty).status == Exit.REFUSED
