"""growth.svg, by hand: a panel a curve, both axes logarithmic, the cost in signatures."""
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 260, 56, 34, 40, 44
STYLE = """<style>
text { font: 12px sans-serif; fill: #333 } .title { font-weight: bold; font-size: 13px } .tick { font-size: 11px; fill: #666 }
.grid { stroke: #ddd } .line { fill: none; stroke: #1764ab; stroke-width: 2 } .dot { fill: #1764ab } .floor { stroke: #c0392b; stroke-dasharray: 5 4 }
</style>"""


def short(n):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:g}{unit}"
    return f"{n:g}"


class Panel:
    def __init__(self, title, rows, x0, y0):
        self.title, self.rows, self.x0, self.y0 = title, rows, x0, y0
        self.zero = rows[0]["x"] == 0  # has no logarithm: it stands a decade before the next
        low = rows[1]["x"] / 10 if self.zero else rows[0]["x"]
        self.low, self.high = math.log10(low), math.log10(rows[-1]["x"])
        self.top = 10 ** math.ceil(math.log10(max(10, *(r["signatures"] for r in rows))))

    def x(self, value):
        at = self.low if value == 0 else math.log10(value)
        return self.x0 + LEFT + (at - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return self.y0 + HEIGHT - BOTTOM - math.log10(value) / math.log10(self.top) * (HEIGHT - TOP - BOTTOM)

    def levels(self):
        return [m * 10 ** e for e in range(round(math.log10(self.top))) for m in ((1, 2, 5) if self.top <= 100 else (1,))] + [self.top]

    def draw(self):
        left, right, floor = self.x0 + LEFT, self.x0 + WIDTH - RIGHT, self.y(1)
        out = [f'<text class="title" x="{left}" y="{self.y0 + 22}">{self.title}</text>']
        for level in self.levels():
            out.append(f'<line class="{"floor" if level == 1 else "grid"}" x1="{left}" x2="{right}" y1="{self.y(level):.1f}" y2="{self.y(level):.1f}"/>')
            out.append(f'<text class="tick" text-anchor="end" x="{left - 6}" y="{self.y(level) + 4:.1f}">{short(level)}</text>')
        for r in self.rows:
            out.append(f'<text class="tick" text-anchor="middle" x="{self.x(r["x"]):.1f}" y="{floor + 18:.1f}">{r.get("label") or short(r["x"])}</text>')
        points = [(self.x(r["x"]), self.y(max(1, r["signatures"]))) for r in self.rows]
        out.append('<polyline class="line" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
        for (x, y), r in zip(points, self.rows):
            out.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
            out.append(f'<text text-anchor="middle" x="{x:.1f}" y="{y - 9:.1f}">{r["signatures"]:{".0f" if r["signatures"] >= 100 else ".3g"}}</text>')
        return out


def draw(curves):
    width, height = 2 * WIDTH, (len(curves) + 1) // 2 * HEIGHT + 36
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">', STYLE,
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="20">CPU of a message, in RSA-2048 signatures; the dashed line is one signature</text>']
    for i, (title, rows) in enumerate(curves.items()):
        out += Panel(title, rows, i % 2 * WIDTH, 28 + i // 2 * HEIGHT).draw()
    return "\n".join(out + ["</svg>", ""])
