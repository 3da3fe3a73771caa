"""Writes the results: a table of figures, a table of targets, and a chart."""

import os
import platform
from datetime import date
from pathlib import Path
from statistics import median

from scenarios import BARE, COMPOSED, FASTAPI, FRESH, HYPER, OURS, PLAIN, SCENARIOS, WORKERD
from systems import HERE

BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"

# A target has a description, a relation ("≥" or "≤"), a factor, the first figure, and the second figure.
# A figure is a scenario, a key and a system. The second figure may be a number.
TARGETS = [
    ("no tasks: workerd", "≥", 1.8, ("no-tasks", "rate", OURS), ("no-tasks", "rate", WORKERD)),
    ("no tasks: plain guest on wasmtime serve", "≥", 2, ("no-tasks", "rate", OURS), ("no-tasks", "rate", PLAIN)),
    ("no tasks: FastAPI", "≥", 3.5, ("no-tasks", "rate", OURS), ("no-tasks", "rate", FASTAPI)),
    ("no tasks: hyper alone", "≥", 0.4, ("no-tasks", "rate", OURS), ("no-tasks", "rate", HYPER)),
    ("no tasks, no Spin headers: plain guest on wasmtime serve", "≥", 2, ("no-tasks", "rate", BARE),
     ("no-tasks", "rate", PLAIN)),
    ("no tasks, no Spin headers: FastAPI", "≥", 3.5, ("no-tasks", "rate", BARE), ("no-tasks", "rate", FASTAPI)),
    ("3 tasks: workerd", "≥", 2, ("tasks", "rate", OURS), ("tasks", "rate", WORKERD)),
    ("3 tasks: composed on wasmtime serve", "≥", 3, ("tasks", "rate", OURS), ("tasks", "rate", COMPOSED)),
    ("3 tasks: FastAPI", "≥", 4, ("tasks", "rate", OURS), ("tasks", "rate", FASTAPI)),
    ("3 tasks, no Spin headers: FastAPI", "≥", 4, ("tasks", "rate", BARE), ("tasks", "rate", FASTAPI)),
    ("3 tasks: without", "≥", 0.85, ("tasks", "rate", OURS), ("no-tasks", "rate", OURS)),
    ("--reuse 1: reuse 128", "≥", 0.5, ("no-tasks", "rate", FRESH), ("no-tasks", "rate", OURS)),
    ("p50 while tasks sleep: without", "≤", 1.1, ("sleeping", "p50", OURS), ("quiet", "p50", OURS)),
    ("p99 while tasks sleep: without", "≤", 1.1, ("sleeping", "p99", OURS), ("quiet", "p99", OURS)),
    ("p99 while tasks compute: quiet", "≤", 3, ("burning", "p99", OURS), ("idle", "p99", OURS)),
    ("p99 while tasks compute: FastAPI", "≤", 1, ("burning", "p99", OURS), ("burning", "p99", FASTAPI)),
    ("p99 while tasks compute: workerd", "≤", 1, ("burning", "p99", OURS), ("burning", "p99", WORKERD)),
    ("KiB a draining request: 100", "≤", 1, ("draining", "kib", OURS), 100),
    ("64 MiB body: wasmtime serve", "≥", 0.8, ("body", "mib", OURS), ("body", "mib", PLAIN)),
    ("64 MiB body, MiB more memory: 16", "≤", 1, ("body", "grown", OURS), 16),
    ("start-up compiled before, ms: 150", "≤", 1, ("warm", "ms", OURS), 150),
    ("start-up compiling: wasmtime serve", "≤", 2, ("cold", "ms", OURS), ("cold", "ms", PLAIN)),
]


def figure(results, scenario, key, system):
    seen = results.get((scenario, system.name))
    return median(one[key] for one in seen) if seen else None


def table(results, failures):
    lines = ["| scenario | system | figures, medians |", "|---|---|---|"]
    for name, (what, systems, _, figures) in SCENARIOS.items():
        for system in systems:
            if (name, system.name) in failures:
                shown = "failed: " + failures[name, system.name].splitlines()[0]
            elif (name, system.name) in results:
                medians = [(figure(results, name, key, system), unit, digits) for key, unit, digits in figures]
                shown = ", ".join(f"{value:,.{digits}f} {unit}" for value, unit, digits in medians)
            else:
                continue
            lines.append(f"| {what} | {system.name} | {shown} |")
    return "\n".join(lines) + "\n"


def targets(results, failures):
    lines = ["| target: compared with | wanted | measured | |", "|---|---|---|---|"]
    for what, relation, factor, (scenario, key, system), other in TARGETS:
        ours = figure(results, scenario, key, system)
        theirs = other if isinstance(other, int) else figure(results, *other)
        if (scenario, system.name) in failures:
            measured, met = "failed", False
        elif ours is None or not theirs:
            continue
        else:
            ratio = ours / theirs
            digits = 3 if round(ratio, 2) == factor else 2
            measured, met = f"{ratio:.{digits}f} ×", ratio >= factor if relation == "≥" else ratio <= factor
        lines.append(f"| {what} | {relation} {factor} × | {measured} | {'met' if met else '**not met**'} |")
    return "\n".join(lines) + "\n"


def setting(rounds, seconds, skipped):
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    text = (f"{date.today():%d %B %Y}, {os.cpu_count()} cores of {model}, Linux {platform.release()}; "
            f"medians of {rounds} alternated runs of {seconds} s.")
    if skipped:
        text += " Not installed, hence left out: " + ", ".join(skipped) + "."
    return text + "\n"


def write(text, results):
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(before + BEGIN + text + END + rest.split(END)[1])
    (HERE / "chart.svg").write_text(chart(results))


def chart(results):
    """Draws the requests per second as bars, without tasks and with three tasks."""
    bars = [(system.name, scenario, figure(results, scenario, "rate", system))
            for system in SCENARIOS["no-tasks"][1] for scenario in ("no-tasks", "tasks")]
    bars = [bar for bar in bars if bar[2]]
    longest = max(rate for _, _, rate in bars)
    rows, y, last = [], 34, None
    for name, scenario, rate in bars:
        if name != last:
            y += 8
            rows.append(f'<text x="208" y="{y + 12}" text-anchor="end">{name}</text>')
            last = name
        width = 430 * rate / longest
        rows.append(f'<rect x="216" y="{y}" width="{width:.0f}" height="15" class="{scenario}"/>'
                    f'<text x="{222 + width:.0f}" y="{y + 12}">{rate:,.0f}</text>')
        y += 18
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {y + 12}" role="img"
  aria-label="Requests per second, without tasks and with three">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #57606a }} .no-tasks {{ fill: #9ec1e8 }} .tasks {{ fill: #2f6fb7 }}
</style>
<rect x="216" y="8" width="12" height="12" class="no-tasks"/><text x="234" y="18">requests/s, no tasks</text>
<rect x="380" y="8" width="12" height="12" class="tasks"/><text x="398" y="18">three tasks each</text>
{chr(10).join(rows)}
</svg>
"""
