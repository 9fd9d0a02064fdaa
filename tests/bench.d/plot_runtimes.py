"""Draws what runtime_bench measured: for each suite a bar for each runtime, in proportion to containerd with runc.

usage: plot_runtimes.py RESULT FOLDER      writes FOLDER/seconds.svg and FOLDER/cpu.svg
"""

import json
import os
import statistics
import sys
from xml.sax.saxutils import escape

REFERENCE = "containerd+runc"
# Suite and what of it, with the label and the unit's factor.
BARS = [
    ("start", "total", "start a pod", "ms", 1e3),
    ("start-host", "total", "start a pod, host network", "ms", 1e3),
    ("stop", "total", "stop and remove a pod", "ms", 1e3),
    ("exec", "one after another", "exec", "ms", 1e3),
    ("exec", "20 in parallel", "20 execs at once", "ms", 1e3),
    ("burst", "total", "50 pods by 8 clients", "s", 1),
    ("list", "ListContainerStats", "statistics of 100 containers", "ms", 1e3),
    ("logs", "total", "1 GiB of lines", "s", 1),
]
COLOURS = {"cri-nspawn": "#2a78c2", "containerd+runc": "#a8a8a8", "containerd+crun": "#cfcfcf"}
WIDTH, LEFT, BAR, GAP, TOP = 760, 210, 15, 14, 46


def draw(samples, value, title):
    runtimes = list(dict.fromkeys(sample["runtime"] for sample in samples))

    def median(suite, what, runtime):
        values = [sample[value] for sample in samples if value in sample
                  and (sample["suite"], sample["what"], sample["runtime"]) == (suite, what, runtime)]
        return statistics.median(values) if values else None

    shapes, y = [], TOP
    for suite, what, label, unit, factor in BARS:
        medians = {runtime: median(suite, what, runtime) for runtime in runtimes}
        medians = {runtime: number for runtime, number in medians.items() if number is not None}
        if not medians.get(REFERENCE):
            continue
        shapes.append(f'<text x="{LEFT - 10}" y="{y + BAR * len(medians) / 2 + 4:.0f}" text-anchor="end">{escape(label)}</text>')
        for runtime, number in medians.items():
            # Up to twice the reference; what is longer is cut and says so by its number.
            length = min(2.0, number / medians[REFERENCE]) * (WIDTH - LEFT - 130) / 2
            shapes.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[runtime]}"/>')
            shapes.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + BAR - 4}" class="n">{factor * number:.3g} {unit}'
                          f'{"" if runtime == REFERENCE else f" ({number / medians[REFERENCE]:.2f})"}</text>')
            y += BAR
        y += GAP
    legend, x = [], LEFT
    for runtime in runtimes:
        legend.append(f'<rect x="{x}" y="26" width="10" height="10" fill="{COLOURS[runtime]}"/>')
        legend.append(f'<text x="{x + 15}" y="35">{escape(runtime)}</text>')
        x += 140
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
            'font-family="sans-serif" font-size="12"><style>.n{font-size:11px;fill:#444}</style>'
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
            f'<text x="{LEFT}" y="17" font-weight="bold">{escape(title)}</text>'
            + "".join(legend + shapes) + "</svg>\n")


def main():
    result, folder = sys.argv[1:]
    with open(result, encoding="utf-8") as file:
        samples = json.load(file)
    for value, title in (("seconds", "Time, median; in brackets the ratio to containerd with runc"),
                         ("cpu", "CPU time of the whole node, median; in brackets the ratio to containerd with runc")):
        with open(os.path.join(folder, f"{value}.svg"), "w", encoding="utf-8") as file:
            file.write(draw(samples, value, title))


main()
