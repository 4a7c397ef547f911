"""Top of the report: facts about the run, warnings, and the main scores in words and numbers."""

from collections.abc import Sequence
from typing import Any

from pixelwise.text import command, pluralise
from pixelwise.workflow.headline import Claim, KeyNumber, by_name, headline
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.run import Run

WARNING = "This training did not produce a useful model"
SCALE = 200  # SVG units of an interval from 0 to 1


def outcome_box(run: Run) -> list[str]:
    """Return a box with the warnings about the training; empty without warnings."""
    warnings = run.warnings
    return [html.warning(WARNING, warnings)] if warnings else []


def facts(run: Run) -> list[str]:
    """Return one line about the run: data, task, network, and images per split."""
    data = run.understood
    cases = ", ".join(f"{count:,} {split}" for split, count in data["cases"].items() if count)
    line = f"{data['data']} · {data['task']} · {run.config.network.name} · images: {cases}"
    return [f'<p class="meta">{html.escape(line)}</p>']


def scored_headline(scores: dict[str, Any]) -> list[str]:
    """Return the scores of `evaluate` as sentences, key numbers with intervals, and notes."""
    summary = headline(scores)
    return [_lead(summary.claims or (by_name(scores),)), _numbers(summary.numbers), _notes(summary.notes)]


def unscored_headline(run: Run, rows: Sequence[dict[str, float]], score: str) -> list[str]:
    """Return the validation score of the weights of a run that was not evaluated, and how to evaluate it.

    Parameters
    ----------
    rows : sequence of dict
        Rows of metrics.csv.
    score : str
        Name of the validation score.
    """
    values = [(row["val_score"], int(row["step"])) for row in rows if "val_score" in row and "step" in row]
    hint = (
        f"No scores yet: run `{command('evaluate', run.folder, 'DATA')}`, then `{command('report', run.folder)}` again."
    )
    if not values:
        return [html.paragraphs([hint])]
    best, step = max(values, key=lambda value: value[0])
    note = f"It was measured {pluralise(len(values), 'time')} during training"
    kept = run.read_json("summary.json") if run.summary_path.is_file() else {"best_step": step}
    if kept.get("best_step", step) == step:
        claim = Claim("The best validation score is ", f"{best:.2f}", f" ({score}) at step {step:,}")
        note += ", and selected the weights."
    else:  # the last weights, by choice of the user or because they find objects better
        claim = Claim("The validation score is ", f"{kept['best']:.2f}", f" ({score}) at step {kept['best_step']:,}")
        note += f"; the best was {best:.2f} at step {step:,}, whose weights were not kept."
    return [_lead((claim,)), html.paragraphs([hint]), _notes((note,))]


def _lead(claims: Sequence[Claim]) -> str:
    """Return the claims as large sentences; one without an interval after the first is smaller."""
    lines: list[str] = []
    for index, claim in enumerate(claims):
        kind = ' class="next"' if index and not claim.interval else ""
        aside = f" <span>{html.escape(claim.aside.strip())}</span>" if claim.interval else ""
        value = f"<b>{html.escape(claim.value)}</b>" if claim.value else ""
        lines.append(f"<p{kind}>{html.escape(claim.before)}{value}{html.escape(claim.after)}.{aside}</p>")
    text = "".join(lines).replace(" %", "&nbsp;%")  # no line break before the percent sign
    return f'<div class="lead">{text}</div>'


def _notes(notes: Sequence[str]) -> str:
    return f'<p class="notes">{html.escape(" ".join(notes))}</p>'


def _numbers(numbers: Sequence[KeyNumber]) -> str:
    return f'<dl class="numbers">{"".join(map(_number, numbers))}</dl>' if numbers else ""


def _number(number: KeyNumber) -> str:
    between = ""
    if number.interval:
        between = f" <small>{number.interval[0]:.3f} to {number.interval[1]:.3f}</small>"
    value = html.escape(html.show(number.value, 3))
    return f"<div><dt>{html.escape(number.name)}</dt><dd>{value}{between}{_range(number)}</dd></div>"


def _range(number: KeyNumber) -> str:
    """Draw a score and its interval on a line from 0 to 1."""
    if number.value is None:
        return ""
    low, high = number.interval or (number.value, number.value)
    shapes = (
        f'<rect class="track" x="0" y="4" width="{SCALE}" height="2"/>'
        f'<rect class="band" x="{SCALE * low:.1f}" y="2" width="{SCALE * (high - low):.1f}" height="6"/>'
        f'<rect class="dot" x="{SCALE * number.value - 1:.1f}" y="0" width="2" height="10"/>'
    )
    return f'<svg class="range" viewBox="0 0 {SCALE} 10" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
