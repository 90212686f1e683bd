"""Frames survive every cut, agree with `websockets`' own, and stay within their limits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets import frames as theirs
from websockets.streams import StreamReader

from peers.errors import LinkError
from peers.mesh.ends import Close, reason, shown
from peers.mesh.frames import BINARY, CLOSE, PING, PONG, TEXT, Frame, FrameReader, FrameWriter

MOST = 200_000

small = st.tuples(st.sampled_from([TEXT, CLOSE, PING, PONG]), st.binary(max_size=125))
# A length of interest is spelled by its first bytes, so that an example can be read.
lengths = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
large = st.tuples(st.just(BINARY), st.one_of(st.binary(max_size=300), lengths))
frames_of_a_link = st.lists(st.one_of(large, small), max_size=12)

Drawn = tuple[int, bytes | int]


def made(drawn: Drawn) -> Frame:
    first, payload = drawn
    return first, bytes(payload)


def written(frames: list[Frame], masked: bool) -> bytes:
    writer = FrameWriter(masked=masked)
    return b"".join(part for frame in frames for part in writer.parts(*frame))


@given(frames_of_a_link, st.booleans(), st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_whatever_is_written_is_read_again_however_it_is_cut(
    drawn: list[Drawn], masked: bool, cuts: list[int]
) -> None:
    frames = [made(each) for each in drawn]
    data, reader, read = written(frames, masked), FrameReader(masked=masked, bytes_max=MOST), []
    at = 0
    for cut in cuts:
        read += reader.feed(data[at : at + cut])
        at += cut
    assert read + reader.feed(data[at:]) == frames


@pytest.mark.parametrize("masked", [True, False])
def test_a_large_message_may_come_in_crumbs(masked: bool) -> None:
    """And they do not pile up as objects that are larger than what is in them."""
    frame = (BINARY, bytes(range(256)) * 40)
    reader, read = FrameReader(masked=masked, bytes_max=MOST), []
    for byte in written([frame, frame], masked):
        read += reader.feed(bytes([byte]))
        assert len(reader._body) < 1100
    assert read == [frame, frame]


@given(st.lists(small, max_size=4), st.booleans())
def test_frames_may_come_byte_by_byte(frames: list[Frame], masked: bool) -> None:
    reader, read = FrameReader(masked=masked, bytes_max=MOST), []
    for byte in written(frames, masked):
        read += reader.feed(bytes([byte]))
    assert read == frames


@given(st.one_of(large, small), st.booleans())
def test_websockets_reads_what_we_write(drawn: Drawn, masked: bool) -> None:
    frame = made(drawn)
    first, payload = frame
    stream = StreamReader()
    stream.feed_data(written([frame], masked))
    parsing = theirs.Frame.parse(stream.read_exact, mask=masked)
    with pytest.raises(StopIteration) as end:
        next(parsing)
    parsed = end.value.value
    assert (parsed.fin, parsed.opcode, bytes(parsed.data)) == (True, first & 0x0F, payload)


@given(st.one_of(large, small), st.booleans())
def test_we_read_what_websockets_writes(drawn: Drawn, masked: bool) -> None:
    frame = made(drawn)
    data = theirs.Frame(theirs.Opcode(frame[0] & 0x0F), frame[1]).serialize(mask=masked)
    assert FrameReader(masked=masked, bytes_max=MOST).feed(data) == [frame]


@pytest.mark.parametrize("masked", [True, False])
def test_a_length_above_the_limit_is_refused_as_soon_as_it_is_told(masked: bool) -> None:
    reader = FrameReader(masked=masked, bytes_max=1000)
    header = FrameWriter(masked=masked).parts(BINARY, bytes(1001))[0]
    with pytest.raises(LinkError, match="1001 bytes, where 1000 are the most") as error:
        reader.feed(header)
    assert error.value.code == Close.TOO_BIG


@pytest.mark.parametrize("first", [0x01, 0x02, 0x80, 0x83, 0xC2, 0xFF, 0x08])
def test_fragments_extensions_and_unknown_frames_are_refused(first: int) -> None:
    with pytest.raises(LinkError, match="which nodes do not say"):
        FrameReader(masked=False, bytes_max=1000).feed(bytes((first, 0)))


@pytest.mark.parametrize("masked", [True, False])
def test_the_wrong_side_s_masking_is_refused(masked: bool) -> None:
    data = written([(BINARY, b"hello")], masked=not masked)
    with pytest.raises(LinkError, match="masked"):
        FrameReader(masked=masked, bytes_max=1000).feed(data)


def test_a_control_frame_is_small() -> None:
    with pytest.raises(LinkError, match="126 bytes, where 125 are the most"):
        FrameReader(masked=False, bytes_max=1000).feed(bytes((PING, 126, 0, 126)))


@given(st.lists(st.binary(max_size=300), max_size=20), st.booleans())
@example([b"\x82\xff" + b"\xff" * 8], True)
def test_any_bytes_are_frames_or_an_error(chunks: list[bytes], masked: bool) -> None:
    reader = FrameReader(masked=masked, bytes_max=1000)
    with contextlib.suppress(LinkError):
        for chunk in chunks:
            for first, payload in reader.feed(chunk):
                assert first in (TEXT, BINARY, CLOSE, PING, PONG)
                assert len(payload) <= 1000


def test_no_two_frames_have_one_mask() -> None:
    writer = FrameWriter(masked=True)
    masks = {writer.parts(BINARY, b"x")[0][-4:] for _ in range(3000)}
    assert len(masks) > 2990


@given(st.text())
def test_a_reason_fits_into_a_close_frame_and_stays_text(sentence: str) -> None:
    cut = reason(sentence)
    assert len(cut) <= 123
    assert sentence.encode().startswith(cut)
    assert sentence.startswith(cut.decode())


def test_a_text_from_elsewhere_cannot_forge_log_lines() -> None:
    assert shown("bad\nERROR all is lost\x1b[2J") == "bad\ufffdERROR all is lost\ufffd[2J"
    assert len(shown("x" * 10_000)) == 500
