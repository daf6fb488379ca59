#!/usr/bin/env python3
"""Makes docs/benchmarks.json, docs/benchmarks.svg and the table of docs/benchmarks.md from what chancy-bench --json wrote.

    chancy-bench --json build/bench.json && docs/benchmarks.py build/bench.json

Several files, of runs of some scenarios each, are put together. Figures that none of them has stay as docs/benchmarks.json has them.

The plot shows each figure as a bar: its ratio to what stands beside it, 1 being the ceiling, and a mark where it is to reach.
"""
import html
import json
import pathlib
import re
import sys

WIDTH, LABEL, ROW = 900, 400, 26
LARGEST = 3.0  # longer bars are cut and told by their number


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(figures):
    lines = ["| figure | chancy | beside it | ratio | to reach |", "|---|---|---|---|---|"]
    for f in figures:
        reach = f["reach"] or ""
        if reach:
            reach = reach.replace("<=", "≤").replace(">=", "≥") + ("" if f["reached"] else " **not reached**")
        lines.append(f"| {f['name']}: {f['ours']} | {number(f['ours_value'])} {f['unit']} | {number(f['other_value'])} {f['unit']}, {f['other']}"
                     f" | {f['ratio']:.2f} | {reach} |")
    return "\n".join(lines)


def plot(figures):
    unit = (WIDTH - LABEL - 60) / LARGEST
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{ROW * len(figures) + 40}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i, f in enumerate(figures):
        y = 10 + i * ROW
        length = min(f["ratio"], LARGEST) * unit
        colour = "#2f6f4f" if f["reached"] else "#b5482f"
        parts.append(f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{html.escape(f["name"])}</text>')
        parts.append(f'<rect x="{LABEL}" y="{y + 3}" width="{length:.0f}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{LABEL + length + 5:.0f}" y="{y + 15}">{f["ratio"]:.2f}</text>')
        if f["reach"]:
            at = LABEL + min(float(f["reach"].split()[1]), LARGEST) * unit
            parts.append(f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{y}" y2="{y + ROW - 2}" stroke="black" stroke-width="2"/>')
    one = LABEL + unit
    parts.append(f'<line x1="{one:.0f}" x2="{one:.0f}" y1="5" y2="{ROW * len(figures) + 10}" stroke="#888" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{one:.0f}" y="{ROW * len(figures) + 28}" text-anchor="middle">1: what stands beside it</text></svg>')
    return "\n".join(parts)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = pathlib.Path(__file__).parent
    kept = folder / "benchmarks.json"
    reports = [json.loads(path.read_text()) for path in [kept, *map(pathlib.Path, sys.argv[1:])] if path.exists()]
    figures = {}
    for f in (f for r in reports for f in r["figures"]):
        figures[f["name"], f["ours"], f["other"]] = f  # where the old one was
    report = {"machine": reports[-1]["machine"], "figures": list(figures.values())}
    kept.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (folder / "benchmarks.svg").write_text(plot(report["figures"]) + "\n")
    page = folder / "benchmarks.md"
    machine = ", ".join(f"{k} {v}" for k, v in report["machine"].items())
    made = f"<!-- figures -->\n{machine}\n\n{table(report['figures'])}\n<!-- end -->"
    page.write_text(re.sub(r"<!-- figures -->.*<!-- end -->", lambda _: made, page.read_text(), flags=re.S))


main()
