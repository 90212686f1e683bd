"""Which tokens are good: wrong, late, early, forged and oversized ones are not."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest

from tests.node.access.holders import SECRET, jwks, new_ed25519, public_pem, rsa_key, signed
from tlru.access import keys, static
from tlru.access.authority import TOKEN_CHARS_MAX, Authority, parse_revoked
from tlru.access.grant import EVERYTHING, Grant
from tlru.access.static import WrongTokens
from tlru.errors import Unauthenticated

NOW = time.time()
ED = new_ed25519()


def judge(*key_files: bytes, **more: Any) -> Authority:
    """Who judges by these keys."""
    return Authority(keys=tuple(key for file in key_files for key in keys.parse(file)), **more)


def refused(authority: Authority, token: str, says: str, now: float = NOW) -> None:
    """The token is not good, and no part of it stands in what is said of it."""
    with pytest.raises(Unauthenticated) as caught:
        authority.grant_of(token, now)
    assert says in str(caught.value)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "key", "algorithm"),
    [
        (public_pem(ED), ED, "EdDSA"),
        (public_pem(rsa_key()), rsa_key(), "RS256"),
        (jwks(k=ED), ED, "EdDSA"),
        (jwks(k=rsa_key()), rsa_key(), "RS256"),
        (jwks(k=SECRET), SECRET, "HS256"),
    ],
)
def test_a_signed_token_says_who_may_what(file: bytes, key: Any, algorithm: str) -> None:
    rights = {"class": "critical", "read": ["a:"], "write": ["b:"], "admin": True}
    token = signed(key, algorithm, sub="shop", jti="j1", exp=NOW + 60, tlru=rights)
    grant = judge(file).grant_of(token, NOW)
    assert (grant.name, grant.client_class, grant.token_id) == ("shop", "critical", "j1")
    assert (grant.read, grant.write, grant.subscribe, grant.publish) == (("a:",), ("b:",), (), ())
    assert grant.admin
    assert grant.expires == pytest.approx(NOW + 60)
    assert token not in repr(grant)


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_without_a_signature_is_none() -> None:
    claims = {"sub": "x", "exp": NOW + 60, "tlru": {"admin": True}}
    for algorithm in ("none", "None", "NONE", ""):
        token = f"{_b64({'alg': algorithm, 'typ': 'JWT'})}.{_b64(claims)}."
        refused(judge(public_pem(ED), jwks(k=SECRET)), token, "no key that is known here")


def test_a_public_key_is_no_secret() -> None:
    """Whoever has the public key, which is everybody, signs with it as if it were a secret."""
    pem = public_pem(rsa_key())
    head, body = _b64({"alg": "HS256", "typ": "JWT"}), _b64({"sub": "x", "exp": NOW + 60})
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{body}".encode(), pem
    )
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    refused(judge(pem), forged, "no key that is known here")
    refused(judge(pem, jwks(k=SECRET)), forged, "the token's signature is not")


def test_another_key_of_the_same_kind_does_not_do() -> None:
    refused(judge(public_pem(ED)), signed(new_ed25519()), "the token's signature is not")
    refused(judge(jwks(a=ED)), signed(ED, kid="b"), "no key that is known here")
    judge(jwks(a=ED, b=new_ed25519())).grant_of(signed(ED, kid="a"), NOW)


def test_a_changed_token_is_not_good() -> None:
    head, body, signature = signed(ED, tlru={"read": ["a:"]}).split(".")
    more = _b64({"sub": "x", "exp": NOW + 60, "tlru": {"admin": True}})
    refused(judge(public_pem(ED)), f"{head}.{more}.{signature}", "signature")
    for broken in (f"{head}.{body}", f"{head}.{body}.", f"..{signature}", "a.b.c", "\ud800.a.b"):
        with pytest.raises(Unauthenticated):
            judge(public_pem(ED)).grant_of(broken, NOW)


def test_a_token_is_good_from_then_to_then() -> None:
    authority = judge(public_pem(ED))
    token = signed(ED, nbf=NOW + 100, exp=NOW + 200)
    refused(authority, token, "not valid yet", NOW + 90)
    authority.grant_of(token, NOW + 101)
    refused(authority, token, "run out", NOW + 200)
    for wrong in ("soon", True, -1, 1e300):
        refused(authority, signed(ED, nbf=wrong), "`nbf`")


def test_a_token_is_meant_for_us_and_from_them() -> None:
    authority = judge(public_pem(ED), issuer="https://login", audience="cache")
    authority.grant_of(signed(ED, iss="https://login", aud="cache"), NOW)
    authority.grant_of(signed(ED, iss="https://login", aud=["other", "cache"]), NOW)
    refused(authority, signed(ED, iss="https://login"), "`aud`")
    refused(authority, signed(ED, iss="https://login", aud="other"), "`aud`")
    refused(authority, signed(ED, iss="https://other", aud="cache"), "`iss`")


@pytest.mark.parametrize(
    "rights",
    [
        {"reads": ["a:"]},
        {"read": "a:"},
        {"read": [1]},
        {"read": ["a:*"]},
        {"read": ["x" * 1_025]},
        {"read": [str(n) for n in range(65)]},
        {"admin": "yes"},
        {"class": "a b"},
        [],
    ],
)
def test_claims_that_are_not_understood_give_nothing(rights: Any) -> None:
    refused(judge(public_pem(ED)), signed(ED, tlru=rights), "claims are of no use")


def test_an_oversized_token_is_not_looked_at() -> None:
    authority = judge(public_pem(ED))
    refused(authority, signed(ED, junk="x" * TOKEN_CHARS_MAX), f"1 to {TOKEN_CHARS_MAX} characters")
    refused(authority, "", "1 to")


def test_extensions_that_must_be_understood_are_refused() -> None:
    token = jwt.encode({"sub": "x"}, ED, algorithm="EdDSA", headers={"crit": ["b64"], "b64": True})
    with pytest.raises(Unauthenticated):
        judge(public_pem(ED)).grant_of(token, NOW)


# -- static ones


def test_a_static_token_is_known_by_its_hash() -> None:
    token = static.make()
    made = Grant(
        "shop",
        client_class="critical",
        read=("a:", 'odd "\\\n'),
        publish=("",),
        admin=True,
        expires=float(int(NOW) + 60),
        token_id="shop",
        token_hash=static.hashed(token),
    )
    authority = Authority(static=static.parse(static.line(made)))
    assert authority.grant_of(token, NOW) == made
    refused(authority, static.make(), "not known")
    refused(authority, token, "run out", NOW + 61)
    assert token not in static.line(made)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = 1", "must be a table"),
        ("a = { read = [] }", "`hash` must be"),
        ('a = { hash = "sha256:00" }', "`hash` must be"),
        (f'a = {{ hash = "sha256:{"0" * 64}", rights = [] }}', "unknown: rights"),
        (f'a = {{ hash = "sha256:{"0" * 64}", expires = "soon" }}', "`expires`"),
        ("a = {", "not TOML"),
        (
            f'a = {{ hash = "sha256:{"0" * 64}" }}\nb = {{ hash = "sha256:{"0" * 64}" }}',
            "same hash",
        ),
    ],
)
def test_a_file_of_tokens_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(WrongTokens, match=says):
        static.parse(text)


# -- keys and revocations


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "neither PEM nor a JWKS"),
        (b'{"keys": []}', "no key"),
        (b"\xff", "no text"),
        (b"x" * (keys.FILE_BYTES_MAX + 1), "bytes of keys"),
        (jwks(k=b"short"), "needs 32"),
        (jwks(a=ED).replace(b'"x"', b'"y"'), "cannot be read"),
        (json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}).encode(), "RSA"),
        (json.dumps({"keys": [{}] * 65}).encode(), "at most 64"),
        (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", "no public key"),
    ],
)
def test_keys_that_are_none_are_told(data: bytes, says: str) -> None:
    with pytest.raises(WrongTokens, match=says):
        keys.parse(data)


def test_a_secret_is_not_taken_from_an_address() -> None:
    with pytest.raises(WrongTokens, match="others can read"):
        keys.parse(jwks(k=SECRET), public_only=True)


def test_a_set_may_hold_keys_for_others() -> None:
    rows = json.loads(jwks(a=ED))["keys"]
    rows += [{"kty": "EC", "crv": "P-256"}, {**rows[0], "kid": "b", "use": "enc"}]
    (key,) = keys.parse(json.dumps({"keys": rows}).encode())
    assert key.id == "a"


def test_a_revoked_token_is_not_good() -> None:
    token = signed(ED, jti="j1")
    for said in ("# lost\nj1 # last week\n", static.hashed(token)):
        refused(judge(public_pem(ED), revoked=parse_revoked(said)), token, "revoked")
    judge(public_pem(ED), revoked=parse_revoked("j2")).grant_of(token, NOW)
    for wrong in (static.make(), token):
        with pytest.raises(WrongTokens, match="itself") as caught:
            parse_revoked(wrong)
        assert wrong not in str(caught.value)


def test_what_was_granted_is_looked_at_again() -> None:
    signed_one, token = signed(ED), static.make()
    row = Grant("s", read=("a:", "b:"), token_id="s", token_hash=static.hashed(token))
    authority = judge(public_pem(ED), static=static.parse(static.line(row)))
    granted = authority.grant_of(token, NOW)
    assert authority.still(granted, NOW) == granted
    narrow = Grant("s", read=("a:",), token_id="s", token_hash=static.hashed(token))
    assert Authority(static=static.parse(static.line(narrow))).still(granted, NOW) == narrow
    by_key = authority.grant_of(signed_one, NOW)
    assert authority.still(by_key, NOW) == by_key
    for gone in (granted, by_key, EVERYTHING):
        with pytest.raises(Unauthenticated):
            judge(public_pem(rsa_key())).still(gone, NOW)
