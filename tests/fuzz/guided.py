"""The decoders under libFuzzer: `python -m tests.fuzz.guided FOLDER SECONDS`.

The first byte of an input says which decoder reads the rest, so that one corpus serves all. Counts
are written to the folder now and then, since libFuzzer does not come back from a run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["peers", "tlru"]):
    from tests.fuzz.decoders import DECODERS

TELL_EVERY = 20_000
INPUT_BYTES_MAX = 4_096


def main(folder: Path, seconds: int) -> None:
    """Run until the time is over, or something is found."""
    counts = {each.name: [0, 0] for each in DECODERS}
    executed = 0

    def tell() -> None:
        (folder / "counts.json").write_text(json.dumps(counts))

    def one(data: bytes) -> None:
        nonlocal executed
        if not data:
            return
        decoder = DECODERS[data[0] % len(DECODERS)]
        count = counts[decoder.name]
        count[0] += 1
        executed += 1
        if executed % TELL_EVERY == 0:
            tell()
        count[1] += decoder.try_it(data[1:])

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, decoder in enumerate(DECODERS):
        for place, seed in enumerate(decoder.seeds):
            (corpus / f"{number}-{place}").write_bytes(bytes((number,)) + seed)
    tell()
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={folder}/finding-",
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        "-timeout=10",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
