"""Cuts the files of one tree into 100,000 small ones in another, the same way each time.

usage: small_files.py SOURCE TARGET
"""

import os
import random
import sys

FILES = 100_000
FOLDERS = 1000
MOST_BYTES = 4096


def content_of(tree):
    parts = []
    for parent, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    parts.append(file.read())
    return b"".join(parts)


def main():
    source, target = sys.argv[1:]
    content = content_of(source)
    lengths = random.Random(1)
    at = 0
    for number in range(FILES):
        folder = os.path.join(target, f"{number * FOLDERS // FILES // 100:02}", f"{number * FOLDERS // FILES:03}")
        if number % (FILES // FOLDERS) == 0:
            os.makedirs(folder, exist_ok=True)
        length = lengths.randint(0, MOST_BYTES)
        if at + length > len(content):
            at = 0
        with open(os.path.join(folder, f"file-{number:06}.go"), "wb") as file:
            file.write(content[at:at + length])
        at += length


main()
