"""docs/loop.md's figure and tables, from study/results.json alone."""

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "study" / "results.json"
PAGE: Final = ROOT / "docs" / "loop.md"
FIGURE: Final = ROOT / "docs" / "loop.svg"
BEGIN, END = "<!-- made by python -m study: begin -->", "<!-- end -->"

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 210, 24, 48
_COLOURS: Final = {"random": "#777777", "queue": "#d97706", "yield": "#0369a1"}
_OTHERS: Final = ("#7c3aed", "#15803d", "#be123c", "#0f766e")


def keep(results: dict[str, Any]) -> None:
    """Write study/results.json."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def write() -> None:
    """Put figure and table of study/results.json into docs."""
    results = json.loads(RESULTS.read_text())
    FIGURE.write_text(figure(results))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + "\n".join([BEGIN, *table(results), END]) + after)


def table(results: dict[str, Any]) -> list[str]:
    """A row an arm, after the last round: labels, minutes, mAP, differences, the area beside that of random review."""
    lines = [
        "| arm | what trains beside the labelled | minutes | images | boxes | mAP@0.4 | over nothing | over random "
        "| area, times random's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in results["arms"].items():
        last = arm["rounds"][-1]
        minutes = "–" if last["minutes"] is None else f"{last['minutes']:.0f}"
        gain = "–" if name == "nothing" else _with_interval(last["gain"], "+.3f")
        compared = "times_random" in arm and name != "random"
        over = _with_interval(arm["over_random"], "+.3f") if compared else "–"
        times = _with_interval(arm["times_random"], ".2f") if compared else "–"
        lines.append(
            f"| {name} | {arm['says']} | {minutes} | {last['images']:.0f} | {last['boxes']:.0f} | {last['map'][0]:.3f} "
            f"| {gain} | {over} | {times} |"
        )
    return [*lines, "", *_verdict(results["arms"])]


def _verdict(arms: dict[str, Any]) -> list[str]:
    """How the order with the largest area compares with the other orders."""
    orders = {name: arm for name, arm in arms.items() if arm["order"] and arm["compared"] and "area" in arm}
    if len(orders) < 2:
        return []
    best = max(orders, key=lambda name: orders[name]["area"][0])
    less = [
        f"that of *{other}* by {_with_interval(over, '+.4f')}"
        for other, over in orders[best]["area_over"].items()
        if other in orders
    ]
    times = _with_interval(orders[best]["times_random"], ".2f")
    return [
        f"The order with the largest area is *{best}*: {times} times that of random review. "
        f"The mean gain of its area exceeds {' and '.join(less)}."
    ]


def figure(results: dict[str, Any]) -> str:
    """The gain in mAP against radiologist minutes, with 95 % intervals: an SVG without a font or link of its own."""
    arms = results["arms"]
    lines = {name: arm for name, arm in arms.items() if "area" in arm}
    ends = [
        end
        for arm in [*lines.values(), arms.get("consensus", {"rounds": []})]
        for one in arm["rounds"]
        for end in one["gain"]
    ]
    low, high = min(0.0, *ends), max(ends) * 1.05
    most = max(one["minutes"] for arm in lines.values() for one in arm["rounds"])

    def x(minutes: float) -> float:
        return round(_LEFT + minutes / most * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(gain: float) -> float:
        return round(_HEIGHT - _BOTTOM - (gain - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        "<title>Gain in mAP@0.4 against radiologist minutes</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_axes(low, high, most, x, y),
    ]
    others = iter(_OTHERS)
    labels = []
    for name, arm in lines.items():
        colour = _COLOURS.get(name) or next(others)
        points = [(0.0, [0.0, 0.0, 0.0]), *((one["minutes"], one["gain"]) for one in arm["rounds"])]
        band = [(x(at), y(gain[1])) for at, gain in points] + [(x(at), y(gain[2])) for at, gain in reversed(points)]
        if arm["compared"]:
            parts.append(f'<polygon points="{_points(band)}" fill="{colour}" fill-opacity="0.10"/>')
        parts.append(
            f'<polyline points="{_points([(x(at), y(gain[0])) for at, gain in points])}" fill="none" stroke="{colour}" '
            'stroke-width="2.5"/>'
        )
        parts += [f'<circle cx="{x(at)}" cy="{y(gain[0])}" r="3.5" fill="{colour}"/>' for at, gain in points[1:]]
        labels.append((y(points[-1][1][0]), name, colour))
    if "consensus" in arms:
        at = y(arms["consensus"]["rounds"][-1]["gain"][0])
        parts.append(f'<line x1="{_LEFT}" x2="{x(most)}" y1="{at}" y2="{at}" stroke="#000000" stroke-dasharray="6 4"/>')
        labels.append((at, "consensus on all 2,000", "#000000"))
    for at, name, colour in _apart(labels):
        parts.append(f'<text x="{x(most) + 10}" y="{at + 4}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(low: float, high: float, most: float, x: Any, y: Any) -> list[str]:
    step = 0.01 if high - low < 0.08 else 0.02
    parts = []
    for number in range(int(low / step) - 1, int(high / step) + 1):
        gain = number * step
        if low <= gain <= high:
            parts.append(f'<line x1="{_LEFT}" x2="{x(most)}" y1="{y(gain)}" y2="{y(gain)}" stroke="#dddddd"/>')
            parts.append(f'<text x="{_LEFT - 8}" y="{y(gain) + 4}" text-anchor="end">{_signed(gain)}</text>')
    for number in range(4):
        minutes = most * number / 3
        parts.append(f'<text x="{x(minutes)}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{minutes:.0f}</text>')
    parts.append(
        f'<text x="{x(most / 2)}" y="{_HEIGHT - 8}" text-anchor="middle">radiologist minutes, three rounds</text>'
    )
    parts.append(f'<text x="{_LEFT}" y="14">gain in mAP@0.4 over no new label, 95 % intervals</text>')
    return parts


def _apart(labels: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Labels from the top, so far apart that they can be read."""
    placed: list[tuple[float, str, str]] = []
    for at, name, colour in sorted(labels):
        placed.append((max(at, placed[-1][0] + 16) if placed else at, name, colour))
    return placed


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _signed(gain: float) -> str:
    return f"{gain:+.2f}".replace("-", "−") if round(gain, 2) else "0"


def _with_interval(figures: list[float], form: str) -> str:
    value, low, high = (format(one, form).replace("-", "−") for one in figures)
    return f"{value} ({low} to {high})"
