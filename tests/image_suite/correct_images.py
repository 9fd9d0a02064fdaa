"""The images whose trees must be right, by name: each a function that gives its layers, lowest first.

usage: correct_images.py NAME DIRECTORY writes one as an OCI image layout that every tool reads.
"""

import struct
import sys

from archives import (BLOCK_DEVICE, CHARACTER, FIFO, MOST_OCTAL_ID, directory, entry, gzipped, hard_link, old_gnu_sparse, opaque,
                      pax_sparse_0_1, pax_sparse_1_0, prefixed, symlink, tar, whiteout, zstd)
from images import DOCKER_FOREIGN, DOCKER_LAYER, OCI_LAYER, Image

# cap_net_raw+ep, in the kernel's second version of the attribute
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


SPREAD = [(at << 20, bytes([65 + at]) * 512) for at in range(30)]


def layer(*entries):
    """With an entry for the root, whose time is otherwise that of its unpacking."""
    return tar(directory("./"), *entries)


def kinds_of_files():
    return [tar(
        directory("./", mode=0o751, time=(1_600_000_000, 0)),
        entry("file", data=b"content\n"), entry("empty"), entry("unreadable", mode=0o000, data=b"x"),
        entry("setuid", mode=0o4755), entry("setgid", mode=0o2755), entry("both", mode=0o6711, uid=12, gid=34),
        entry("sticky", mode=0o1644), directory("temporary", mode=0o1777), directory("shared", mode=0o2775, gid=50),
        symlink("relative", "shared/x"), symlink("absolute", "/etc/passwd"), symlink("dangling", "../../nowhere", uid=7, gid=8),
        entry("pipe", FIFO, mode=0o620, uid=1), entry("null", CHARACTER, mode=0o666, device=(1, 3)),
        entry("tty", CHARACTER, mode=0o620, gid=5, device=(5, 0)), entry("loop", BLOCK_DEVICE, mode=0o660, gid=6, device=(7, 300)),
        entry("old-style", b"\0", data=b"version 7"))]


def hard_links():
    return [layer(
        directory("a"), directory("b"), directory("b/c"), entry("a/file", data=b"linked", mode=0o4711, uid=3),
        hard_link("a/same-folder", "a/file"), hard_link("b/c/other-folder", "./a/file"), hard_link("top", "/b/c/other-folder"),
        symlink("a/symlink", "file"), hard_link("b/symlink", "a/symlink"), entry("a/pipe", FIFO), hard_link("b/pipe", "a/pipe"),
        entry("b/victim", data=b"goes"), hard_link("b/victim", "a/file")),
        # One name of several is replaced, and one deleted: the others stay what they are.
        layer(directory("a"), directory("b"), entry("a/same-folder", data=b"own"), whiteout("b/victim"))]


def whiteouts():
    return [layer(
        directory("d"), directory("d/sub"), entry("d/sub/deep", data=b"1"), entry("d/gone", data=b"2"), entry("d/stays", data=b"3"),
        directory("tree"), directory("tree/a"), entry("tree/a/b", data=b"4"), symlink("link", "d"), entry("pipe", FIFO),
        entry("again", data=b"5"), directory("again-folder"), entry("again-folder/old", data=b"6")),
        layer(directory("d"), whiteout("d/gone"), whiteout("tree"), whiteout("link"), whiteout("pipe"), whiteout("again"),
            whiteout("again-folder"), whiteout("never-was"), directory("d/sub"), whiteout("d/sub/deep")),
        layer(entry("again", data=b"new"), directory("again-folder", mode=0o700), entry("again-folder/new", data=b"7"))]


def opaque_directories():
    lower = layer(*(part for name in ("first", "last", "nested", "emptied") for part in (
        directory(name), entry(name + "/old", data=b"old"), directory(name + "/sub"), entry(name + "/sub/old", data=b"old"))))
    return [lower, layer(
        directory("first"), opaque("first"), entry("first/new", data=b"1"), directory("first/sub"),
        directory("last"), entry("last/new", data=b"2"), opaque("last"),
        directory("nested"), directory("nested/sub", mode=0o711), opaque("nested/sub"), entry("nested/sub/new", data=b"3"),
        directory("emptied", mode=0o500), opaque("emptied"), directory("fresh"), opaque("fresh"))]


def replacements():
    return [layer(
        entry("file-folder-file", data=b"1"), directory("folder-file-folder", mode=0o700), entry("folder-file-folder/old", data=b"2"),
        symlink("link-folder", "folder"), directory("folder"), entry("folder/inside", data=b"3"), directory("folder-link"),
        entry("folder-link/old", data=b"4"), entry("file-link", data=b"5"), entry("file-pipe", data=b"6")),
        layer(directory("file-folder-file"), entry("file-folder-file/inside", data=b"7"), entry("folder-file-folder", data=b"8"),
            directory("link-folder", mode=0o711), entry("link-folder/own", data=b"9"), symlink("folder-link", "folder"),
            symlink("file-link", "folder/inside"), entry("file-pipe", FIFO)),
        layer(entry("file-folder-file", data=b"10"), directory("folder-file-folder"), entry("folder-file-folder/new", data=b"11"))]


def sparse_files():
    return [layer(pax_sparse_0_1(b"pax-0.1", 6 << 20, [(4096, b"c" * 1000), (5 << 20, b"d" * 512)]),
                  pax_sparse_1_0(b"pax-1.0", 40 << 20, SPREAD), pax_sparse_1_0(b"pax-end", 1 << 20, [((1 << 20) - 100, b"e" * 100)]))]


def for_gnu_tar():
    """What umoci refuses: in one layer without whiteouts, so that GNU tar's tree is the image's."""
    return [layer(
        old_gnu_sparse(b"gnu", 5 << 20, [(0, b"a" * 512), (4 << 20, b"b" * 700)]), old_gnu_sparse(b"gnu-extended", 40 << 20, SPREAD),
        old_gnu_sparse(b"gnu-hole", 3 << 20, []), entry("contiguous", b"7", data=b"as a file"))]


def attributes():
    user = [("user.text", b"plain"), ("user.binary", bytes(range(256))), ("user.with space", b"x=y\n")]
    return [layer(
        entry("ping", data=b"program", mode=0o755, xattrs=[("security.capability", CAPABILITY)]),
        entry("owned", uid=1000, gid=1000, mode=0o4750, xattrs=[("security.capability", CAPABILITY)]),
        entry("file", xattrs=user), directory("folder", xattrs=[*user, ("user.large", b"v" * 1500)]),
        entry("replaced", xattrs=user)),
        layer(entry("replaced", data=b"without"), directory("folder", xattrs=[("user.text", b"other")]))]


def names():
    long = "/".join(["long-" + letter * 120 for letter in "abc"])
    parts = [part for end in range(1, 4) for part in [directory("/".join(long.split("/")[:end]))]]
    return [layer(
        *parts, entry(long + "/pax", data=b"1"), entry(long + "/gnu", data=b"2", style="gnu"), symlink("pax-link", long * 3),
        symlink("gnu-link", long, style="gnu"), hard_link("pax-hard", long + "/pax"), hard_link("gnu-hard", long + "/gnu", style="gnu"),
        directory("prefix"), directory("prefix/" + "p" * 100), prefixed(b"prefix/" + b"p" * 100, b"name", b"3"),
        entry("n" * 255, data=b"4"), entry(b"latin-\xe4\xff", data=b"5", style="raw"), entry(b"long-latin-\xe4" + b"\xff" * 150, style="gnu"),
        symlink("to-latin", b"latin-\xe4\xff", style="raw"), entry("grün-日本-🐳", data=b"6"), entry("grün" * 40, data=b"7"),
        entry(" leading and trailing ", data=b"8"), entry("new\nline\ttab", data=b"9"), entry("back\\slash", data=b"10"),
        entry("--option", data=b"11"), entry(".whatever", data=b"12"), entry("/absolute", data=b"13"), directory("dots"), entry("./././dots//slashes", data=b"14"))]


def times():
    return [layer(
        entry("nanoseconds", time=(1_234_567_890, 123_456_789)), directory("folder", time=(1_111_111_111, 111_111_111)),
        entry("folder/inside", time=(1_222_222_222, 1)), symlink("link", "x", time=(1_333_333_333, 999_999_999)),
        entry("pipe", FIFO, time=(1_444_444_444, 5)), entry("epoch", time=(0, 0)), entry("before-1970", time=(-86_400, 0)),
        entry("after-2038", time=(4_000_000_000, 7)),
        entry("gnu-before-1970", time=(-3600, 0), style="gnu"), hard_link("hard", "nanoseconds", time=(1_234_567_890, 123_456_789))),
        # The directory changes in a later layer, and shows the time of its own entry there.
        layer(directory("folder", time=(1_555_555_555, 2)), entry("folder/later"), whiteout("folder/inside"))]


def owners():
    return [layer(
        entry("above-16-bits", uid=70_000, gid=80_000), directory("folder", uid=65_536, gid=65_537),
        entry("above-octal", uid=MOST_OCTAL_ID + 1, gid=MOST_OCTAL_ID + 2), symlink("link", "x", uid=3_000_000_000, gid=3_000_000_001),
        entry("highest", uid=4_294_967_294, gid=4_294_967_294), entry("gnu", uid=3_000_000_000, gid=4_000_000_000, style="gnu"),
        entry("pipe", FIFO, uid=100_000, gid=100_000))]


def unusual_order():
    return [layer(
        entry("twice", data=b"first", mode=0o600), entry("twice", data=b"second and last", mode=0o640, uid=9),
        # Directories after what is in them.
        entry("late/deeper/file", data=b"1", time=(1_500_000_000, 0)), directory("late/deeper", mode=0o710, uid=5, time=(1_400_000_000, 4)),
        directory("late", mode=0o705, time=(1_400_000_001, 5)),
        directory("folder", mode=0o700), entry("folder/inside", data=b"2"), directory("folder", mode=0o755, gid=3),
        entry("file-then-folder", data=b"3"), directory("file-then-folder"), entry("file-then-folder/inside", data=b"4"),
        symlink("link-then-file", "twice"), entry("link-then-file", data=b"5"), entry("file-then-link", data=b"6"),
        symlink("file-then-link", "twice"), directory("folder-then-file"), entry("folder-then-file", data=b"7"),
        symlink("link", "folder"), entry("link/through", data=b"8"), directory("./", mode=0o711, uid=1))]


def empty_layers():
    return [layer(entry("file", data=b"1")), tar(), layer(directory("folder")), tar(), layer()]


def steering_attributes():
    """Attributes that would steer overlayfs, or belong to the host's own marking of files."""
    steering = [("trusted.overlay.opaque", b"y"), ("trusted.overlay.redirect", b"/etc"), ("trusted.overlay.metacopy", b""),
                ("user.overlay.opaque", b"y"), ("trusted.other", b"x"), ("user.kept", b"x")]
    return [layer(directory("folder"), entry("folder/lower", data=b"1"), entry("file", data=b"2")),
            layer(directory("folder", xattrs=steering), entry("folder/upper", data=b"3"), entry("file", data=b"4", xattrs=steering))]


def implied_folders():
    """Directories that a layer has something in, but no entry for, are those of the layers below, with all they have."""
    return [layer(
        directory("shared", mode=0o1777, gid=50, time=(1_500_000_000, 5)), directory("shared/inner", mode=0o700, uid=8, gid=9),
        entry("shared/inner/old", data=b"1"), directory("attributes", xattrs=[("user.text", b"plain")]), entry("attributes/old"),
        directory("cleared", mode=0o711), entry("cleared/old", data=b"2"), directory("gone"), entry("gone/old")),
        layer(entry("shared/inner/deeper", data=b"3"), entry("attributes/new"), opaque("cleared"), entry("cleared/new", data=b"4"),
            whiteout("shared/inner/old"), whiteout("gone/old")),
        layer(directory("shared", mode=0o755, time=(1_600_000_000, 6)), entry("shared/inner/latest", data=b"5"))]


def lower_links():
    """What is below a name that is a link in a lower layer goes to where the link points, never out of the root."""
    return [layer(
        directory("usr"), directory("usr/lib", mode=0o711, uid=3), entry("usr/lib/old", data=b"1"), entry("usr/lib/gone", data=b"2"),
        directory("usr/lib/sub", mode=0o700), entry("usr/lib/sub/old", data=b"3"), symlink("lib", "usr/lib"),
        symlink("lib64", "/usr/./lib"), symlink("chain", "usr/../lib64"), symlink("up", "../../../../usr"),
        directory("var"), directory("var/run-target", mode=0o1777), symlink("var/run", "../var/run-target"),
        symlink("replaced", "usr"), symlink("deleted", "usr"), symlink("link-link", "lib"), symlink("usr/lib/inner", "../../var")),
        layer(entry("lib/one", data=b"4", mode=0o4755), hard_link("lib/same", "lib/one"), entry("lib64/two", data=b"5"),
            entry("chain/three", data=b"6"), whiteout("lib/gone"), whiteout("lib/never-was"), entry("up/four", data=b"7"),
            entry("var/run/pid", data=b"8"), entry("lib/sub/new", data=b"9"), directory("lib/own", mode=0o500),
            entry("lib/own/file", data=b"10"), symlink("lib/link", "one"), entry("lib/pipe", FIFO, mode=0o600),
            directory("replaced", mode=0o750), entry("replaced/file", data=b"11"), whiteout("deleted"), directory("deleted"), entry("deleted/file", data=b"12"),
            entry("link-link/five", data=b"13"), entry("lib/inner/six", data=b"14")),
        layer(entry("lib/one", data=b"15"), whiteout("lib/two"), entry("lib64/sub/last", data=b"16"))]


def needless_whiteouts():
    """In directories that no lower layer has."""
    return [layer(directory("first"), whiteout("first/never"), whiteout("never")),
            layer(directory("second", mode=0o700), entry("second/file"), whiteout("second/never"), directory("second/inner"),
                whiteout("second/inner/never"))]


def root_of_a_lower_layer():
    return [tar(directory("./", mode=0o711, uid=12, gid=34, time=(1_400_000_000, 7), xattrs=[("user.root", b"x")]), entry("lower")),
            tar(entry("upper"))]


def opaque_root():
    return [layer(entry("old"), directory("folder"), entry("folder/old")), tar(directory("./", mode=0o751), opaque(""), entry("new"))]


def all_of_it():
    return whiteouts() + [layer for make in (kinds_of_files, attributes, times, names) for layer in make()]


LAYERS = {function.__name__.replace("_", "-"): function for function in (
    kinds_of_files, hard_links, whiteouts, opaque_directories, replacements, sparse_files, attributes, names, times, owners,
    unusual_order, empty_layers, all_of_it, for_gnu_tar, steering_attributes, implied_folders, lower_links,
    needless_whiteouts, root_of_a_lower_layer, opaque_root)}

# The same layers in every form that a registry may have them.
FORMS = {
    "oci-tar": dict(pack=bytes, layer_type=OCI_LAYER),
    "oci-gzip": dict(),
    "oci-gzip-members": dict(pack=lambda data: gzipped(data, 5)),
    "oci-zstd": dict(pack=zstd, layer_type=OCI_LAYER + "+zstd"),
    "oci-zstd-frames": dict(pack=lambda data: zstd(data, 4, True), layer_type=OCI_LAYER + "+zstd"),
    "oci-nondistributable": dict(layer_type=OCI_LAYER.replace("layer.", "layer.nondistributable.") + "+gzip"),
    "docker": dict(layer_type=DOCKER_LAYER, docker=True),
    "docker-tar": dict(pack=bytes, layer_type=DOCKER_LAYER.removesuffix(".gzip"), docker=True),
    "docker-foreign": dict(layer_type=DOCKER_FOREIGN, docker=True, urls=["http://127.0.0.1:1/not-needed"]),
}

if __name__ == "__main__":
    Image(*LAYERS[sys.argv[1]]()).write_layout(sys.argv[2])
