"""Tar archives written byte by byte, so that tests can have every kind of entry, and every wrong one."""

import gzip
import struct

BLOCK = 512
NOW = (1_700_000_000, 0)
# type flags of POSIX and GNU
FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO, GNU_SPARSE = b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"S"
MOST_OCTAL_ID = 0o7777777


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def number(value, width):
    """Octal, or base-256 where that does not hold the value."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return bytes([0x80 if value >= 0 else 0xFF]) + (value % (1 << (8 * (width - 1)))).to_bytes(width - 1, "big")


def header(name, flag, size, mode=0, uid=0, gid=0, seconds=0, link=b"", device=(0, 0), gnu=False, prefix=b"", sparse=b""):
    magic = b"ustar  \0" if gnu else b"ustar\00000"
    tail = sparse.ljust(167, b"\0") if gnu else prefix.ljust(167, b"\0")
    block = bytearray(
        name.ljust(100, b"\0") + number(mode, 8) + number(uid, 8) + number(gid, 8) + number(size, 12)
        + number(seconds, 12) + b" " * 8 + flag + link.ljust(100, b"\0") + magic + bytes(64)
        + number(device[0], 8) + number(device[1], 8) + tail)
    assert len(block) == BLOCK, len(block)
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax_record(key, value):
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax_header(records):
    body = b"".join(pax_record(key, value) for key, value in records)
    return header(b"PaxHeaders/entry", b"x", len(body), 0o644) + padded(body)


def gnu_long(flag, text):
    return header(b"././@LongLink", flag, len(text) + 1, gnu=True) + padded(text + b"\0")


def entry(name, flag=FILE, data=b"", mode=None, uid=0, gid=0, time=NOW, link=b"", device=(0, 0), xattrs=(), style="pax", size=None):
    """One entry. style: how that is written which a plain header cannot hold: "pax", "gnu", or "raw" for nothing of it."""
    name, link = (text.encode() if isinstance(text, str) else text for text in (name, link))
    if mode is None:
        mode = 0o755 if flag == DIRECTORY else 0o777 if flag == SYMLINK else 0o644
    size = len(data) if size is None else size
    before = b""
    if style == "pax":
        records = [(b"SCHILY.xattr." + key.encode(), value) for key, value in xattrs]
        if len(name) > 100:
            records.append((b"path", name))
        if len(link) > 100:
            records.append((b"linkpath", link))
        if time[1] != 0 or time[0] < 0:
            # A time before 1970 with a fraction is written as the decimal number that it is.
            value = time[0] * 10**9 + time[1]
            records.append((b"mtime", b"%s%d.%09d" % (b"-" if value < 0 else b"", abs(value) // 10**9, abs(value) % 10**9)))
        for key, value in ((b"uid", uid), (b"gid", gid)):
            if value > MOST_OCTAL_ID:
                records.append((key, b"%d" % value))
        uid, gid = min(uid, MOST_OCTAL_ID), min(gid, MOST_OCTAL_ID)
        if records:
            before = pax_header(records)
    elif style == "gnu":
        if len(name) > 100:
            before += gnu_long(b"L", name)
        if len(link) > 100:
            before += gnu_long(b"K", link)
    seconds = max(time[0], 0) if style == "pax" else time[0]
    return before + header(name[:100], flag, size, mode, uid, gid, seconds, link[:100], device, gnu=style == "gnu") + padded(data)


def directory(name, mode=0o755, **options):
    return entry(name, DIRECTORY, mode=mode, **options)


def symlink(name, target, **options):
    return entry(name, SYMLINK, link=target, **options)


def hard_link(name, target, **options):
    return entry(name, LINK, link=target, **options)


def whiteout(name):
    folder, _, base = name.rpartition("/")
    return entry((folder + "/" if folder else "") + ".wh." + base)


def opaque(name):
    return entry(name + "/.wh..wh..opq")


def prefixed(prefix, name, data):
    """A name in the two parts that POSIX has for it."""
    return header(name, FILE, len(data), 0o644, seconds=NOW[0], prefix=prefix) + padded(data)


def old_gnu_sparse(name, size, pieces):
    """pieces: [(offset, data)…]; more than four of them take extension headers."""
    pieces = pieces + [(size, b"")]
    spans = [b"%011o\0%011o\0" % (offset, len(data)) for offset, data in pieces]
    first, rest = spans[:4], spans[4:]
    # after atime, ctime, offset, longnames and one unused byte
    fields = bytes(12 + 12 + 12 + 4 + 1) + b"".join(first).ljust(96, b"\0") + (b"\1" if rest else b"\0") + number(size, 12)
    stored = b"".join(data for _, data in pieces)
    out = header(name, GNU_SPARSE, len(stored), 0o644, seconds=NOW[0], gnu=True, sparse=fields)
    while rest:
        part, rest = rest[:21], rest[21:]
        out += (b"".join(part).ljust(504, b"\0") + (b"\1" if rest else b"\0")).ljust(BLOCK, b"\0")
    return out + padded(stored)


def pax_sparse_0_1(name, size, pieces):
    spans = b",".join(b"%d,%d" % (offset, len(data)) for offset, data in pieces)
    stored = b"".join(data for _, data in pieces)
    return (pax_header([(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"%d" % len(pieces)),
                        (b"GNU.sparse.map", spans), (b"GNU.sparse.name", name)])
            + header(b"GNUSparseFile.0/file", FILE, len(stored), 0o644, seconds=NOW[0]) + padded(stored))


def pax_sparse_1_0(name, size, pieces):
    spans = b"".join(b"%d\n%d\n" % (offset, len(data)) for offset, data in pieces)
    stored = padded(b"%d\n" % len(pieces) + spans) + b"".join(data for _, data in pieces)
    return (pax_header([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name),
                        (b"GNU.sparse.realsize", b"%d" % size)])
            + header(b"GNUSparseFile.0/file", FILE, len(stored), 0o644, seconds=NOW[0]) + padded(stored))


def tar(*entries):
    return b"".join(entries) + bytes(2 * BLOCK)


def gzipped(data, members=1):
    step = len(data) // members + 1
    return b"".join(gzip.compress(data[at:at + step], 6, mtime=0) for at in range(0, max(len(data), 1), step))


def zstd_frame(blocks):
    """A frame of a 1 MiB window without a checksum (RFC 8878) of blocks (kind, length, bytes)."""
    out = [b"\x28\xB5\x2F\xFD", b"\x00", b"\x50"]
    for index, (kind, length, data) in enumerate(blocks):
        last = index == len(blocks) - 1
        out.append(struct.pack("<I", length << 3 | kind << 1 | last)[:3] + data)
    return b"".join(out)


ZSTD_RAW, ZSTD_REPEATED, ZSTD_MOST = 0, 1, 128 << 10


def zstd(data, frames=1, skippable=False):
    """Frames of uncompressed blocks: valid for every reader, without a library that Python lacks."""
    step = len(data) // frames + 1
    out = b"\x52\x2A\x4D\x18" + struct.pack("<I", 5) + b"notes" if skippable else b""
    for at in range(0, max(len(data), 1), step):
        part = data[at:at + step]
        out += zstd_frame([(ZSTD_RAW, len(part[i:i + ZSTD_MOST]), part[i:i + ZSTD_MOST])
                           for i in range(0, max(len(part), 1), ZSTD_MOST)])
    return out
