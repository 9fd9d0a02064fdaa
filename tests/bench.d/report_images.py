"""Prints what pull_images.py measured as tables, and which goals are met.

usage: report_images.py RESULT

The last line is "goals met: N of M".
"""

import json
import statistics
import sys

REFERENCE, OURS, LIMIT = "containerd", "cri-nspawn", "curl|tar"
# Image, runtime to compare with, most times its seconds.
SPEED_GOALS = [
    ("six-layers", REFERENCE, 0.5),
    ("six-layers", LIMIT, 1.2),
    ("one-layer", REFERENCE, 1.0),
    ("small-files", REFERENCE, 1.0),
    ("six-zstd", REFERENCE, 1.0),
]
MEMORY_GOAL = 64  # MiB above idle


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        pulls = json.load(file)
    images = list(dict.fromkeys(pull["image"] for pull in pulls))
    runtimes = list(dict.fromkeys(pull["runtime"] for pull in pulls))

    def median(image, runtime, what):
        values = [pull[what] for pull in pulls if pull["image"] == image and pull["runtime"] == runtime]
        return statistics.median(values) if values else None

    for image in images:
        count = sum(pull["image"] == image and pull["runtime"] == runtimes[0] for pull in pulls)
        print(f"\n{image}: medians of {count} pulls, seconds with the least and the most")
        print(f"  {'':14}{'seconds':>8}{'':16}{'on disk':>9}{'CPU s':>8}{'peak MiB':>10}{'written MiB':>13}"
              f"{'to ' + REFERENCE:>15}{'to the limit':>14}")
        for runtime in runtimes:
            seconds = [pull["seconds"] for pull in pulls if pull["image"] == image and pull["runtime"] == runtime]
            if not seconds:
                continue
            line = f"  {runtime:14}{median(image, runtime, 'seconds'):8.2f}"
            line += f"{f' ({min(seconds):.2f} … {max(seconds):.2f})':16}"
            line += f"{median(image, runtime, 'synced'):9.2f}{median(image, runtime, 'cpu'):8.2f}"
            line += f"{median(image, runtime, 'memory'):10.1f}{median(image, runtime, 'written'):13.1f}"
            for other, width in ((REFERENCE, 15), (LIMIT, 14)):
                base = median(image, other, "seconds")
                line += f"{median(image, runtime, 'seconds') / base:{width}.2f}" if base else f"{'-':>{width}}"
            print(line)

    print()
    met = total = 0

    def goal(text, value, most):
        nonlocal met, total
        total += 1
        met += value <= most
        print(f"{'met   ' if value <= most else 'MISSED'}  {text}: {value:.2f}, the goal is at most {most}")

    for image, other, most in SPEED_GOALS:
        ours, base = median(image, OURS, "seconds"), median(image, other, "seconds")
        if ours and base:
            goal(f"{image}: seconds in proportion to {other}", ours / base, most)
    for image in images:
        if (memory := median(image, OURS, "memory")) is not None:
            goal(f"{image}: peak memory above idle in MiB", memory, MEMORY_GOAL)
    print(f"goals met: {met} of {total}")


main()
