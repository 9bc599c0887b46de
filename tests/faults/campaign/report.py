"""The campaign's table, as it is printed and as it stands in docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.faults.campaign.campaign import GROUPS, Tally

BEGIN, END = "<!-- campaign {}: begin -->", "<!-- campaign {}: end -->"


def render_table(tallies: list[Tally], how: str, spent_s: float, workers: int, on: str) -> str:
    """Put what came of a campaign into words and two tables, in Markdown."""
    tried = sorted((tally for tally in tallies if tally.group in GROUPS), key=lambda tally: tally.group)
    planted = [tally for tally in tallies if tally.group not in GROUPS]
    runs, wrong = sum(tally.runs for tally in tried), sum(len(tally.failures) for tally in tried)
    kills = [tally for tally in tried if tally.group.startswith("A")]
    killed, covered = sum(tally.runs for tally in kills), sum(tally.covered for tally in kills)
    hours = next((tally for tally in kills if tally.group == "A"), Tally("A"))
    lines = [
        f"Measured on {on}, {how}: **{runs:,} fault runs, {wrong} violations**,",
        f"in {spent_s / 60:.0f} minutes on {workers} cores.",
        "",
        f"{killed:,} of them are kills, each mended and checked, at {_lines(kills):,} different lines.",
    ]
    if covered:
        lines += [
            f"At {covered:,} more points the hour left the same files and vendors as at one that was tried",
            "under the same circumstances: these were not tried again, and are not counted.",
        ]
    if hours.runs:
        lines += [
            "",
            f"**Doubts**: {10_000 * hours.unconfirmed / hours.runs:.0f} per 10,000 kills of an hour;",
            f"{100 * hours.delivered / max(1, hours.unconfirmed):.0f} % of these mails had in fact arrived.",
        ]
    lines += [
        "",
        "| class | what goes wrong | fault runs | hours run | doubts | violations |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.group} | {GROUPS[each.group]} | {each.runs:,} | {each.sync_runs:,} | {each.unconfirmed} | {len(each.failures)} |"
        for each in tried
    ]
    lines += _planted(planted) if planted else []
    return "\n".join(lines)


def _lines(kills: list[Tally]) -> int:
    return len({place for tally in kills for place in tally.places})


def _planted(planted: list[Tally]) -> list[str]:
    lines = ["", "| planted bug | found by | after so many fault runs |", "|---|---|---|"]
    for tally in sorted(planted, key=lambda tally: tally.group):
        what = tally.group.removeprefix("J: ")
        if tally.failures:
            name, violations = tally.failures[0]
            where = name.removeprefix(what).strip()
            found = violations[0].partition(":")[0]
            lines.append(f"| {what} | {found}, {where} | {tally.runs} |")
        else:
            lines.append(f"| {what} | **not found** | {tally.runs} |")
    return lines


def write_table(file: Path, size: str, markdown: str) -> None:
    """Put the tables between the marks of their size in a document."""
    begin, end = BEGIN.format(size), END.format(size)
    text = file.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}\n{markdown}\n{end}{after}")
