"""Prints what a JUnit report of critest says, ending in the line "N passed, N failed, N skipped".

usage: summary.py EXCLUDED SELECTED REPORT…

Several reports are parts of one run; what one leaves to another is not counted there. In a report that is called
websocket.xml are specs which are run a second time, by that protocol. EXCLUDED is a file with a line
"PATTERN: reason" for specs that were not run at all, since this node cannot run them. SELECTED is a pattern: other specs
were not asked for.
"""

import os
import re
import sys
import xml.etree.ElementTree

LONGEST = 60  # lines of a failed spec's output


def specs(path):
    """Name, outcome and text of every spec that a report has."""
    protocol = " (WebSocket)" if os.path.basename(path) == "websocket.xml" else ""
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = case.get("name")
        if not name.startswith("[It]"):
            if case.find("failure") is not None or case.find("error") is not None:
                yield name + protocol, "failed", case
            continue
        status = case.get("status")
        if status == "skipped" and protocol:
            continue
        yield name[5:] + protocol, status, case


def reason(case):
    element = case.find("skipped")
    message = element.get("message", "") if element is not None else ""
    return re.sub(r"^skipped( - )?", "", message)


def main():
    exclusions = []
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                pattern, _, text = line.strip().partition(": ")
                exclusions.append((re.compile(pattern), text))

    selected = re.compile(sys.argv[2])
    passed, failed, skipped = [], [], {}
    for path in sys.argv[3:]:
        for name, status, case in specs(path):
            if not selected.search(name):
                continue
            if status == "passed":
                passed.append(name)
            elif status == "skipped":
                skipped[name] = skipped.get(name) or reason(case)
            else:
                failed.append((name, case))
    # Benchmarks and the other specs are two runs of one suite: each leaves out what the other has run.
    ran = set(passed) | {name for name, _ in failed}
    skipped = {name: why for name, why in skipped.items() if name not in ran}

    for name in sorted(passed):
        print(f"ok      {name}")
    for name, why in sorted(skipped.items()):
        why = next((text for pattern, text in exclusions if pattern.search(name)), why) or "critest gives no reason"
        print(f"skipped {name}: {why}")
    for name, case in sorted(failed, key=lambda entry: entry[0]):
        lines = []
        for tag in ("failure", "error"):
            for element in case.findall(tag):
                lines += (element.get("message") or "").splitlines() + (element.text or "").splitlines()[:10]
        for tag in ("system-err", "system-out"):
            for element in case.findall(tag):
                lines += (element.text or "").splitlines()[-LONGEST:]
        print("\n".join("    " + line for line in lines))
        print(f"FAILED  {name}")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")


main()
