"""Prints a directory tree, one line for each name: everything of it that an image determines.

usage: trees.py DIRECTORY
"""

import hashlib
import os
import stat
import sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "character",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}


def printable(data):
    return "".join(chr(c) if 0x21 <= c < 0x7F and c != 0x5C else f"\\x{c:02x}" for c in data)


def content(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def xattrs(path):
    return ",".join(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}"
                    for name in sorted(os.listxattr(path, follow_symlinks=False)))


def describe(path, info):
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    words = [kind, f"{stat.S_IMODE(info.st_mode):04o}", f"{info.st_uid}:{info.st_gid}", f"mtime={info.st_mtime_ns}"]
    if kind == "file":
        words += [f"size={info.st_size}", f"sha256={content(path)}"]
    elif kind == "symlink":
        words.append(f"to={printable(os.readlink(path))}")
    elif kind in ("character", "block"):
        words.append(f"device={os.major(info.st_rdev)}:{os.minor(info.st_rdev)}")
    return words + [f"xattrs={xattrs(path)}"]


def print_tree(root):
    lines, names = {}, {}
    for folder, directories, files in os.walk(root):
        for name in [b"."] * (folder == root) + directories + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            shown = printable(os.path.relpath(path, root))
            lines[shown] = describe(path, info)
            # Which names are one file. An overlay's link count also counts names that an upper layer hides.
            if not stat.S_ISDIR(info.st_mode):
                names.setdefault((info.st_dev, info.st_ino), []).append(shown)
    for group in names.values():
        if len(group) > 1:
            for name in group:
                lines[name].append("one-of=" + ",".join(sorted(group)))
    for name in sorted(lines):
        print(name, *lines[name])


print_tree(os.fsencode(sys.argv[1]))
