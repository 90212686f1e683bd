"""The decoders under Hypothesis: bytes from nothing, and seeds that are bent."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS, Decoder

EXAMPLES = 500  # of one decoder in one round


@st.composite
def bent(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with bytes changed, cut out and put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:at] = draw(st.binary(max_size=9))
            case 1:
                del data[at : at + draw(st.integers(1, 9))]
            case 2:
                data[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case _:
                del data[at:]
    return bytes(data)


def inputs(decoder: Decoder) -> st.SearchStrategy[bytes]:
    """What it is given."""
    noise = st.binary(max_size=300)
    return noise | bent(decoder.seeds) if decoder.seeds else noise


def run(seconds: float) -> tuple[dict[str, tuple[int, int]], str]:
    """Round after round until the time is over, or something is found."""
    counts = {each.name: (0, 0) for each in DECODERS}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for decoder in DECODERS:
            try:
                counts[decoder.name] = _round(decoder, counts[decoder.name])
            except Exception as exc:  # whatever it is, it is a finding
                return counts, f"{decoder.name}: {exc!r}\n" + "\n".join(
                    getattr(exc, "__notes__", ())
                )
    return counts, ""


def _round(decoder: Decoder, before: tuple[int, int]) -> tuple[int, int]:
    executed, taken = before

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(decoder))
    def try_it(data: bytes) -> None:
        nonlocal executed, taken
        executed += 1
        taken += decoder.try_it(data)

    try_it()
    return executed, taken
