"""Prints what runtime_bench measured, and which goals are met.

usage: report_runtimes.py RESULT SUITE… [--worse PART]      the goals are met up to this part above them (0)

Ratios are of medians, of PID 1's time of means, with a 95% confidence interval by bootstrap: both sides are drawn again
2,000 times. The last line is "goals met: N of M".
"""

import argparse
import json
import random
import statistics
import sys

OURS, REFERENCE = "cri-nspawn", "containerd+runc"
DRAWS = 2000

# Suite, what, value, most times that of the reference. A second value of the same line is a goal of its own.
RATIO_GOALS = [
    ("start", "total", "seconds", 0.5),
    ("start", "total", "cpu", 0.5),
    ("start-host", "total", "seconds", 0.35),
    ("start-host", "total", "cpu", 0.35),
    ("burst", "total", "seconds", 0.5),
    ("burst", "total", "cpu", 0.5),
    ("stop", "total", "seconds", 0.45),
    ("stop", "total", "cpu", 0.45),
    ("exec", "one after another", "seconds", 0.1),
    ("exec", "one after another", "cpu", 0.1),
    ("exec", "20 in parallel", "seconds", 0.1),
    ("exec", "20 in parallel", "cpu", 0.1),
    ("list", "ListContainers", "seconds", 0.7),
    ("list", "ListPodSandbox", "seconds", 0.7),
    ("list", "ContainerStatus", "seconds", 0.7),
    ("list", "ListContainerStats", "seconds", 0.1),
    ("list", "ListContainerStats", "cpu", 0.1),
    ("idle", "total", "cpu", 0.05),
    ("logs", "total", "seconds", 0.5),
    ("logs", "total", "cpu", 0.5),
    ("mounts", "start", "manager_cpu", 1.0),
]
# PID 1's time counts for all starts together: it reads the mount table for several of them at once, and some cost nothing.
MIDDLE = {"seconds": statistics.median, "cpu": statistics.median, "manager_cpu": statistics.fmean,
          "mounts": statistics.median}
DAEMON_MIB, PER_POD_RATIO, WAKEUPS, MOUNTS, SCALE = 25, 0.3, 1.0, 1, 1.3


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


def ratio_interval(ours, theirs, middle):
    """The ratio of their medians or means, whichever `middle` is, and its confidence interval."""
    chance = random.Random(1)
    ratios = sorted(middle(chance.choices(ours, k=len(ours))) / middle(chance.choices(theirs, k=len(theirs)))
                    for _ in range(DRAWS))
    return (middle(ours) / middle(theirs), ratios[int(0.025 * DRAWS)], ratios[int(0.975 * DRAWS)])


class Report:
    def __init__(self, samples, suites, worse):
        self.samples = samples
        self.suites = suites
        self.worse = worse
        self.runtimes = list(dict.fromkeys(sample["runtime"] for sample in samples))
        self.met = self.total = 0

    def values(self, suite, runtime, what, value):
        return [sample[value] for sample in self.samples
                if (sample["suite"], sample["runtime"], sample["what"]) == (suite, runtime, what) and value in sample]

    def table(self, suite):
        whats = list(dict.fromkeys(sample["what"] for sample in self.samples if sample["suite"] == suite))
        print(f"\n{suite}")
        print(f"  {'':20}{'':18}{'n':>5}{'min':>10}{'median':>10}{'p90':>10}{'p99':>10}{'ratio':>8}  95% interval")
        for what in whats:
            for value, unit, factor in (("seconds", "ms", 1e3), ("cpu", "CPU ms", 1e3), ("manager_cpu", "PID 1 ms", 1e3),
                                        ("mounts", "mounts", 1)):
                if (value in ("manager_cpu", "mounts")) != (suite == "mounts"):
                    continue
                for runtime in self.runtimes:
                    values = [factor * number for number in self.values(suite, runtime, what, value)]
                    if not values:
                        continue
                    line = f"  {what[:19]:20}{runtime:18}{len(values):5}"
                    for number in (min(values), statistics.median(values), quantile(values, 0.9), quantile(values, 0.99)):
                        line += f"{number:10.2f}"
                    theirs = self.values(suite, REFERENCE, what, value)
                    if runtime != REFERENCE and theirs and MIDDLE[value](theirs) > 0 and len(values) > 1:
                        ratio, low, high = ratio_interval(values, [factor * number for number in theirs], MIDDLE[value])
                        line += f"{ratio:8.2f}  {low:.2f} … {high:.2f}"
                    else:
                        line += f"{'':8}  "
                    print(f"{line}  {unit}")

    def goal(self, text, value, most, interval=None, erratic=False):
        self.total += 1
        # A look for what has become worse must not take chance for it.
        judged = interval[0] if erratic and self.worse > 0 else value
        met = judged <= most * (1 + self.worse)
        self.met += met
        note = f"  ({interval[0]:.2f} … {interval[1]:.2f})" if interval else ""
        print(f"{'met   ' if met else 'MISSED'}  {text}: {value:.2f}, the goal is at most {most}{note}")

    def ratio_goals(self):
        for suite, what, value, most in RATIO_GOALS:
            if suite not in self.suites:
                continue
            ours = self.values(suite, OURS, what, value)
            peers = {runtime: self.values(suite, runtime, what, value) for runtime in self.runtimes if runtime != OURS}
            peers = {runtime: values for runtime, values in peers.items() if values and MIDDLE[value](values) > 0}
            if not ours or not peers:
                continue
            # Against whichever peer is better.
            best = min(peers, key=lambda runtime: MIDDLE[value](peers[runtime]))
            unit = {"seconds": "time", "cpu": "CPU", "manager_cpu": "CPU of PID 1"}[value]
            for peer in dict.fromkeys(([REFERENCE] if REFERENCE in peers else []) + [best]):
                ratio, low, high = ratio_interval(ours, peers[peer], MIDDLE[value])
                self.goal(f"{suite}, {what}, {unit} to {peer}", ratio, most, (low, high),
                          erratic=value == "manager_cpu")

    def other_goals(self):
        if "burst" in self.suites and (ours := self.values("burst", OURS, "call", "seconds")):
            if theirs := self.values("burst", REFERENCE, "call", "seconds"):
                self.goal(f"burst, p99 of a call to {REFERENCE}", quantile(ours, 0.99) / quantile(theirs, 0.99), 0.5)
        if "mounts" in self.suites and (ours := self.values("mounts", OURS, "start", "mounts")):
            self.goal("mounts, lines in the host's mount table for a pod", statistics.median(ours), MOUNTS)
        if "idle" in self.suites and (ours := self.values("idle", OURS, "total", "daemon_wakeups")):
            self.goal("idle, wake-ups of the daemon a second", ours[0], WAKEUPS)
        if "memory" in self.suites:
            self.memory_goals()
        if "scale" in self.suites:
            self.scale_goals()

    def memory_goals(self):
        per_pod = {}
        for runtime in self.runtimes:
            sizes = {sample["pods"]: sample["pss"] for sample in self.samples
                     if sample["suite"] == "memory" and sample["runtime"] == runtime and "pods" in sample}
            if len(sizes) > 1:
                least, most = min(sizes), max(sizes)
                per_pod[runtime] = (sizes[most] - sizes[least]) / (most - least)
                print(f"  {runtime}: {per_pod[runtime]:.2f} MiB a pod "
                      f"({', '.join(f'{count:.0f} pods: {size:.1f} MiB' for count, size in sorted(sizes.items()))})")
        if OURS in per_pod and REFERENCE in per_pod:
            self.goal(f"memory of a pod to {REFERENCE}", per_pod[OURS] / per_pod[REFERENCE], PER_POD_RATIO)
        daemon = [sample["daemon"] for sample in self.samples
                  if sample["suite"] == "memory" and sample["runtime"] == OURS and sample.get("pods") == 0]
        if daemon:
            self.goal("memory of the daemon alone, MiB", daemon[0], DAEMON_MIB)

    def scale_goals(self):
        for runtime in self.runtimes:
            starts = {sample["round"]: sample["seconds"] for sample in self.samples
                      if sample["suite"] == "scale" and sample["runtime"] == runtime}
            if len(starts) < 20:
                continue
            # One start alone says little: the nine around each.
            around = lambda number: statistics.median(
                seconds for at, seconds in starts.items() if abs(at + 1 - number) <= 4)
            shown = {number: around(number) for number in (5, 50, 100, 196) if number <= len(starts)}
            print(f"  {runtime}: " + ", ".join(f"pod {number}: {1e3 * seconds:.0f} ms" for number, seconds in shown.items()))
            if runtime == OURS:
                self.goal("scale, the last pods' start to the first ones'", shown[max(shown)] / shown[5], SCALE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("result")
    parser.add_argument("suites", nargs="+")
    parser.add_argument("--worse", type=float, default=0)
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        report = Report(json.load(file), arguments.suites, arguments.worse)
    for suite in report.suites:
        if suite not in ("memory", "idle", "scale"):
            report.table(suite)
    for suite in ("idle",):
        for sample in report.samples:
            if suite in report.suites and sample["suite"] == suite and (sample["cpu"] > 0.005 or sample["wakeups"] > 0.05):
                print(f"  idle {sample['runtime']:18}{sample['what']:18}{sample['cpu']:8.3f} CPU s a minute"
                      f"{sample['wakeups']:8.2f} wake-ups a second")
    print()
    report.ratio_goals()
    report.other_goals()
    print(f"goals met: {report.met} of {report.total}")


main()
