"""What a sound file announces in its first bytes and pages, held against what is there.

Decoders go on silently where a file ends early, and those of rare formats take nearly anything for theirs. Each
function returns what is wrong, or nothing.
"""

import os
from io import FileIO
from typing import Literal

_RIFF = (b"RIFF", b"RIFX", b"RF64", b"FORM")
_MAGIC = (*_RIFF, b"riff", b".snd", b"dns.", b"caff", b"NIST_1A", b"fLaC", b"OggS", b"ID3")
_MOST_CHUNKS = 1000
_LARGEST_OGG_PAGE = 65_307


def why_foreign(file: FileIO) -> str:
    """Look at the first bytes before a decoder does: those of rare formats take nearly anything for theirs."""
    head = file.read(12)
    if not head:
        return "file is empty (0 bytes)"
    if head.startswith(_MAGIC) or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return ""
    return f"cannot be decoded as sound (it begins with {head!r}): make it a WAV, AIFF, FLAC, OGG or MP3 file"


def why_truncated(file: FileIO) -> str:
    """Hold what a file announces against what is there; decoders go on silently."""
    file.seek(0)
    head = file.read(12)
    if head[:4] in _RIFF:
        return _why_cut_riff(file, head)
    if head[:4] == b"OggS":
        return _why_cut_ogg(file)
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        return _why_cut_mp3(file, head)
    return ""


def _why_cut_riff(file: FileIO, head: bytes) -> str:
    """Find the chunk of a WAV or AIFF file that holds the sound."""
    order: Literal["little", "big"] = "little" if head[:4] in {b"RIFF", b"RF64"} else "big"
    sound = b"SSND" if head[:4] == b"FORM" else b"data"
    if head[8:] not in {b"WAVE", b"AIFF", b"AIFC"}:
        return ""
    long = 0
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return "truncated: the file ends before its sound begins"
        start, announced = file.tell(), int.from_bytes(header[4:], order)
        if header[:4] == sound:
            # RF64 has the length in another chunk, and here the largest number.
            return _why_short(file, start, long or (0 if _is_placeholder(announced) else announced))
        if header[:4] == b"ds64":
            long = int.from_bytes(file.read(16)[8:], order)
        file.seek(start + announced + announced % 2)
    return ""


def _is_placeholder(announced: int) -> bool:
    """Whether a length is one that programs write which stream a file, and so do not know it.

    The largest 32-bit number (ffmpeg), 2 GiB (arecord), or 2 GiB less 4 KiB in whole frames (SoX).
    """
    return announced == 2**32 - 1 or 2**31 - 4096 - 512 <= announced <= 2**31


def _why_cut_ogg(file: FileIO) -> str:
    """Look at the last page of an OGG file (RFC 3533, section 6)."""
    file.seek(max(0, _size(file) - 2 * _LARGEST_OGG_PAGE))
    tail = file.readall()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    is_whole = len(page) > 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    is_last = is_whole and page[:4] == b"OggS" and bool(page[5] & 4)
    return "" if is_last else "truncated: its last page is not whole, or not marked as the last one"


def _why_cut_mp3(file: FileIO, head: bytes) -> str:
    """Look for the count of bytes that may stand in the first frame (Xing or LAME header), after any tag."""
    is_tagged = head[:3] == b"ID3"
    # The length of a tag has seven bits in a byte, so that none looks like the beginning of a frame.
    start = 10 + sum((head[6 + i] & 127) << 7 * (3 - i) for i in range(4)) if is_tagged and head[9:] else 0
    file.seek(start)
    frame = file.read(64)
    mark = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags = int.from_bytes(frame[mark + 4 : mark + 8], "big")
    if mark < 0 or not flags & 2:
        return ""
    count = mark + 8 + 4 * (flags & 1)
    return _why_short(file, start, int.from_bytes(frame[count : count + 4], "big"), needed=0.99)


def _why_short(file: FileIO, start: int, announced: int, *, needed: float = 1.0) -> str:
    present = _size(file) - start
    is_short = present < needed * announced
    return f"truncated: announces {announced} bytes of sound, holds {present}" if is_short else ""


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size
