"""Draws where the time of one pod's start goes, from the trace that `cri-nspawnd --trace FILE` wrote.

usage: plot_trace.py TRACE OUTPUT TITLE

Pods that were started one after another are in there; drawn is the one that took the median, from its RunPodSandbox to
the end of its StartContainer. Each thread of the
daemon that was at work has rows of its own, one for each depth of its spans, and so has the container's init.
"""

import html
import json
import sys

WIDTH, LEFT, ROW, TOP = 1100, 120, 22, 48
COLORS = {"rpc": "#7a9cc6", "nspawn": "#a4c2a5", "bus": "#e8b86d", "job": "#d98f5c", "cni": "#b59bc9", "disk": "#c9c9c9",
          "log": "#d8d8a8", "init": "#d88c9a"}


def events(path):
    with open(path, encoding="utf-8") as file:
        return json.loads(file.read().rstrip().rstrip(",") + "]")


def median_start(all_events):
    """The spans of the start that took the median."""
    calls = {name: [event for event in all_events if event["cat"] == "rpc" and event["name"] == name]
             for name in ("RunPodSandbox", "StartContainer")}
    starts = []
    for event in calls["StartContainer"]:
        end = event["ts"] + event["dur"]
        starts.append((max(run["ts"] for run in calls["RunPodSandbox"] if run["ts"] < end), end))
    begin, end = sorted(starts, key=lambda start: start[1] - start[0])[len(starts) // 2]
    chosen = [event for event in all_events
              if event["ts"] >= begin and event["ts"] + event["dur"] <= end and event["dur"] > 0]
    return begin, end, chosen


def rows(chosen):
    """Rows of spans that do not overlap, by thread; calls first, since each may be on another thread."""
    by_track = {}
    for event in sorted(chosen, key=lambda event: (event["ts"], -event["dur"])):
        # A call's thread is whichever was free: all that is on such a thread counts as one.
        by_track.setdefault(event["tid"], []).append(event)
    callers = {event["tid"] for event in chosen if event["cat"] == "rpc"}
    groups = {"calls": []}
    for track, spans in by_track.items():
        if track in callers:
            groups["calls"] += spans
        else:
            kinds = {event["cat"] for event in spans}
            name = "init" if "init" in kinds else "network" if "cni" in kinds else "other"
            groups.setdefault(name, []).extend(spans)
    placed = []
    for name, spans in groups.items():
        depths = []
        for event in sorted(spans, key=lambda event: (event["ts"], -event["dur"])):
            for depth in depths:
                # Inside of what is there it goes a row down; beside it, into the same row.
                if depth[-1]["ts"] + depth[-1]["dur"] <= event["ts"]:
                    depth.append(event)
                    break
            else:
                depths.append([event])
        placed += [(name if number == 0 else "", depth) for number, depth in enumerate(depths)]
    return placed


def main():
    path, output, title = sys.argv[1:4]
    begin, end, chosen = median_start(events(path))
    drawn = rows(chosen)
    scale = (WIDTH - LEFT - 20) / (end - begin)
    height = TOP + ROW * len(drawn) + 34
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
           f'font-size="11"><rect width="{WIDTH}" height="{height}" fill="white"/>'
           f'<text x="{LEFT}" y="20" font-size="14">{html.escape(title)}: {(end - begin) / 1000:.1f} ms</text>']
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000) if (end - begin) / 1000 / step <= 14)
    for number in range(int((end - begin) / 1000 / step) + 1):
        x = LEFT + number * step * 1000 * scale
        svg.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 26}" stroke="#eeeeee"/>'
                   f'<text x="{x:.1f}" y="{TOP - 12}" text-anchor="middle" fill="#777777">{number * step}</text>')
    for number, (name, spans) in enumerate(drawn):
        y = TOP + ROW * number
        svg.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>')
        for event in spans:
            x, width = LEFT + (event["ts"] - begin) * scale, max(1.0, event["dur"] * scale)
            what = event["name"] + (" " + event["args"]["of"] if event["cat"] == "cni" and "args" in event else "")
            told = f'{what}: {event["dur"] / 1000:.2f} ms'
            svg.append(f'<g><title>{html.escape(told)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
                       f'height="{ROW - 4}" fill="{COLORS.get(event["cat"], "#dddddd")}" stroke="white"/>')
            # A character is about six wide; what does not fit is in the title.
            room = int((width - 6) / 6)
            if room >= 3:
                text = what if len(what) <= room else what[:room - 1] + "…"
                svg.append(f'<text x="{x + 3:.1f}" y="{y + 13}">{html.escape(text)}</text>')
            svg.append("</g>")
    x = LEFT
    for name, color in COLORS.items():
        if any(event["cat"] == name for event in chosen):
            svg.append(f'<rect x="{x}" y="{height - 18}" width="10" height="10" fill="{color}"/>'
                       f'<text x="{x + 14}" y="{height - 9}">{name}</text>')
            x += 70
    svg.append("</svg>")
    with open(output, "w", encoding="utf-8") as file:
        file.write("\n".join(svg) + "\n")


main()
