"""The campaign's report, as printed and as in docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.faults.campaign.campaign import GROUPS, Tally

BEGIN, END = "<!-- campaign {}: begin -->", "<!-- campaign {}: end -->"


def render_table(tallies: list[Tally], parameters: str, spent_s: float, workers: int, on: str) -> str:
    """Return the results of a campaign as Markdown: a summary and two tables."""
    tried = sorted((tally for tally in tallies if tally.group in GROUPS), key=lambda tally: tally.group)
    planted = [tally for tally in tallies if tally.group not in GROUPS]
    runs, failures = sum(tally.runs for tally in tried), sum(len(tally.failures) for tally in tried)
    kills = [tally for tally in tried if tally.group.startswith("A")]
    killed, covered = sum(tally.runs for tally in kills), sum(tally.covered for tally in kills)
    syncs = next((tally for tally in kills if tally.group == "A"), Tally("A"))
    lines = [
        f"Measured on {on}, {parameters}: **{runs:,} fault runs, {failures} violations**,",
        f"in {spent_s / 60:.0f} minutes on {workers} cores.",
        "",
        f"{killed:,} of them are kills, each recovered from and checked, at {_lines(kills):,} different lines.",
    ]
    if covered:
        lines += [
            f"At {covered:,} more points the sync left the same files and services as at one that was tried",
            "under the same circumstances; these were not tried again and are not counted.",
        ]
    if syncs.runs:
        lines += [
            "",
            f"**Unconfirmed deliveries**: {10_000 * syncs.unconfirmed / syncs.runs:.0f} per 10,000 kills of a sync;",
            f"{100 * syncs.delivered / max(1, syncs.unconfirmed):.0f} % of these emails had in fact arrived.",
        ]
    lines += [
        "",
        "| group | what goes wrong | fault runs | syncs | unconfirmed | violations |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.group} | {GROUPS[each.group]} | {each.runs:,} | {each.sync_runs:,} | {each.unconfirmed}"
        f" | {len(each.failures)} |"
        for each in tried
    ]
    lines += _planted(planted) if planted else []
    return "\n".join(lines)


def _lines(kills: list[Tally]) -> int:
    return len({place for tally in kills for place in tally.places})


def _planted(planted: list[Tally]) -> list[str]:
    lines = ["", "| planted bug | found by | after fault runs |", "|---|---|---|"]
    for tally in sorted(planted, key=lambda tally: tally.group):
        bug = tally.group.removeprefix("J: ")
        if tally.failures:
            name, violations = tally.failures[0]
            place = name.removeprefix(bug).strip()
            invariant = violations[0].partition(":")[0]
            lines.append(f"| {bug} | {invariant}, {place} | {tally.runs} |")
        else:
            lines.append(f"| {bug} | **not found** | {tally.runs} |")
    return lines


def write_table(file: Path, size: str, markdown: str) -> None:
    """Write the report into a document, between the marks of its size."""
    begin, end = BEGIN.format(size), END.format(size)
    text = file.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}\n{markdown}\n{end}{after}")
