"""Prints for each of COUNT processes a pattern of the specs that it is to run, one a line.

usage: shards.py REPORT COUNT

REPORT is the JUnit report of a dry run: specs that it has as passed are selected.
"""

import re
import sys
import xml.etree.ElementTree


def main():
    report, count = sys.argv[1], int(sys.argv[2])
    names = []
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = case.get("name")
        if case.get("status") == "passed" and name.startswith("[It] "):
            # The report appends the spec's labels to its text, which alone is matched.
            names.append(re.sub(r" \[[^\[\]]*\]$", "", name[5:]))
    for shard in range(min(count, len(names))):
        print("|".join(re.escape(name) + "$" for name in names[shard::count]))


main()
