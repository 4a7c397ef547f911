"""Draw the data flow of the project as docs/pictures/data-flow.svg.

Run: python docs/make_data_flow.py
"""

from html import escape
from pathlib import Path

PICTURE = Path(__file__).parent / "pictures" / "data-flow.svg"
WIDTH, HEIGHT, GAP, TOP = 148, 54, 22, 46  # of a box, between boxes, above the first row
FILLS = {"data": "#CBEADF", "code": "#D3E5F2", "file": "#FBE8C8"}

# rows of (kind, title, second line); arrows connect the boxes of a row from left to right
ROWS = (
    (
        "Training",
        (
            ("data", "folder", "images with masks"),
            ("code", "datasets", "cases, labels, splits"),
            ("code", "sampling.fingerprint", "statistics of the data"),
            ("code", "workflow.planning", "Config with reasons"),
            ("code", "networks", "network, known sizes"),
            ("code", "sampling", "augmented patches"),
            ("code", "training", "steps, in workflow.fit"),
        ),
    ),
    (
        "After the last step",
        (
            ("data", "trained weights", "EMA, validation images"),
            ("code", "fit.select", "thresholds, calibration"),
            ("file", "model.safetensors", "weights + model card"),
            ("code", "exporters", "ONNX, OpenVINO, ..."),
            ("file", "exported model", "with its parity report"),
        ),
    ),
    (
        "Prediction",
        (
            ("data", "image of any size", ""),
            ("code", "io", "windows of pixels"),
            ("code", "inference", "tiles with a halo"),
            ("code", "runtimes", "batches -> logits"),
            ("code", "labels", "post-processing"),
            ("file", "mask, label image,", "table of objects"),
        ),
    ),
    (
        "Evaluation",
        (
            ("data", "prediction", "and ground truth"),
            ("code", "metrics", "Dice, AP, ECE, ..."),
            ("file", "scores.json", "with intervals"),
            ("code", "workflow.reporting", ""),
            ("file", "report/index.html", ""),
        ),
    ),
)


def svg() -> str:
    """Return the drawing: one row of boxes per stage."""
    wide = max(len(boxes) for _, boxes in ROWS) * (WIDTH + GAP) + GAP
    pitch = HEIGHT + TOP
    high = len(ROWS) * pitch + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" role="img">',
        "<title>Data flow of pixelwise</title>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#333333"/></marker></defs>',
    ]
    for row, (name, boxes) in enumerate(ROWS):
        y = TOP + row * pitch
        parts.append(f'<text x="{GAP}" y="{y - 12}" font-weight="bold">{escape(name)}</text>')
        for place, (kind, title, note) in enumerate(boxes):
            x = GAP + place * (WIDTH + GAP)
            middle, first = x + WIDTH / 2, y + (HEIGHT / 2 + 4 if not note else 23)
            parts += [
                f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{FILLS[kind]}" stroke="#333"/>',
                f'<text x="{middle}" y="{first}" text-anchor="middle" font-weight="bold">{escape(title)}</text>',
            ]
            if note:
                parts.append(f'<text x="{middle}" y="{y + 41}" text-anchor="middle">{escape(note)}</text>')
            if place:
                line = f'x1="{x - GAP + 2}" y1="{y + HEIGHT / 2}" x2="{x - 2}" y2="{y + HEIGHT / 2}"'
                parts.append(f'<line {line} stroke="#333333" marker-end="url(#head)"/>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg(), "utf-8")
