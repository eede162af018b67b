"""The frame of the report: escaped tables, badges and sections in one HTML file that needs nothing from outside."""

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5b6472; --paper: #ffffff; --card: #f5f6f8; --line: #d9dde3;
  --accent: #0072b2; --good: #00694c; --good-back: #d9f2e8; --bad: #9c3f00; --bad-back: #fde6d8;
  --part: #7a5400; --part-back: #fbeecb; --open: #555d69; --open-back: #e9ebef; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #a3abb8; --paper: #14171c; --card: #1d2128;
  --line: #363c47; --accent: #6cb8ec; --good: #8fe0c0; --good-back: #12382c; --bad: #ffb489; --bad-back: #45240f;
  --part: #f0d080; --part-back: #403310; --open: #c3c9d3; --open-back: #2c323b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(1rem, 4vw, 3rem) 5rem; max-width: 74rem; background: var(--paper);
  color: var(--ink); font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; margin: 0 0 .4rem; text-wrap: balance; }
h2 { font-size: 1.5rem; margin: 3.2rem 0 .8rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, li { max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .4rem 0; font-size: .95rem; }
a { color: var(--accent); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .4rem; margin: .6rem 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .3rem .7rem; min-width: 0;
  font-size: .88rem; line-height: 1.3; }
.facts dt { font-size: .8rem; color: var(--soft); }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
dl { margin: 0; }
.words dt { font-weight: 600; margin-top: .7rem; }
.words dd { margin: .1rem 0 0; max-width: 46rem; }
.why { font-size: .88rem; margin: -.6rem 0 1rem; }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; white-space: normal; }
th.group { text-align: center; color: var(--ink); }
td.apart, th.apart { border-left: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody td:first-child { font-weight: 600; }
.scroll th:first-child, .scroll td:first-child { position: sticky; left: 0; background: var(--paper); }
td.missing { color: var(--soft); font-style: italic; }
figure { margin: 2rem 0 2.6rem; }
figure img { width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem; }
figcaption { max-width: 52rem; margin-top: .6rem; font-size: .95rem; }
figcaption b { color: var(--ink); }
.claim { display: grid; grid-template-columns: 12.5rem 1fr; gap: .2rem 1.2rem; padding: .95rem 0;
  border-bottom: 1px solid var(--line); }
.claim > div { min-width: 0; }
.claim h4 { margin: 0; font-size: 1rem; }
.claim p { margin: .15rem 0 0; font-size: .95rem; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .2rem 1.6rem; margin-top: .4rem; color: var(--soft);
  font-size: .88rem; }
.sides p { font-size: .88rem; }
.sides summary { cursor: pointer; font-weight: 600; }
.sides ul { margin: .2rem 0 .3rem; padding-left: 1.1rem; }
.sides li { line-height: 1.45; overflow-wrap: anywhere; }
.badge { justify-self: start; align-self: start; padding: .15rem .65rem; border-radius: 1rem; font-size: .82rem;
  font-weight: 600; white-space: nowrap; }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.part { color: var(--part); background: var(--part-back); }
.open { color: var(--open); background: var(--open-back); }
.told { background: var(--card); border-left: 4px solid var(--line); padding: .6rem 1rem; max-width: 52rem; }
.opening { display: grid; grid-template-columns: 11fr 10fr; gap: 0 1.6rem; align-items: start; }
.opening figure { margin: .3rem 0; }
.opening p { margin: .3rem 0; font-size: .9rem; }
.verdicts { width: 100%; font-size: .8rem; line-height: 1.25; }
.verdicts th, .verdicts td { padding: .14rem .4rem; white-space: normal; text-align: left; }
.verdicts td:first-child { font-weight: 400; }
.verdicts tr.heading th { padding-top: .45rem; color: var(--ink); }
.verdicts .badge { font-size: .74rem; padding: 0 .5rem; }
.fold { margin: 1rem 0; }
.fold > summary { cursor: pointer; font-weight: 600; font-size: 1.05rem; }
.claim:target, details:target > summary { background: var(--card); }
@media (max-width: 60rem) { .opening { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 44rem) { .claim, .sides { grid-template-columns: 1fr; } body { font-size: 16px; } }
@media print { body { max-width: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  figure, .claim, tr { break-inside: avoid; } }
"""


class Html(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def safe(content: object) -> str:
    """HTML as it is, anything else escaped."""
    return content if isinstance(content, Html) else escape(str(content))


def table(
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    groups: Sequence[tuple[str, int]] = (),
    missing: str = "not available",
) -> Html:
    """A table that scrolls by itself where the screen is narrow; ``groups`` name runs of columns above the head."""
    starts, column = set(), 0
    for _, width in groups:
        starts.add(column)
        column += width
    starts.discard(0)

    def apart(column: int, *names: str) -> str:
        classes = " ".join([*names, *(["apart"] if column in starts else [])])
        return f' class="{classes}"' if classes else ""

    above, column = "", 0
    for name, width in groups:
        above += f'<th scope="colgroup" colspan="{width}"{apart(column, "group")}>{safe(name)}</th>'
        column += width
    names = "".join(f'<th scope="col"{apart(index)}>{safe(cell)}</th>' for index, cell in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{apart(index, *(['missing'] if cell == missing else []))}>{safe(cell)}</td>"
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    top = f"<tr>{above}</tr>" if above else ""
    return Html(f'<div class="scroll"><table><thead>{top}<tr>{names}</tr></thead><tbody>{body}</tbody></table></div>')


def target(name: str) -> str:
    """What a link to it says, and its id, which must have no spaces."""
    return safe(name.replace(" ", "-"))


def with_own_ids(part: Html, prefix: str) -> Html:
    """A part that a page has a second time, or whose ids another part has too."""
    return Html(re.sub(r' id="', f' id="{prefix}-', part))


def section(identity: str, title: str, *parts: object) -> Html:
    """A section with a heading that the table of contents can point to."""
    body = "".join(safe(part) for part in parts)
    return Html(f'<section id="{safe(identity)}"><h2>{safe(title)}</h2>{body}</section>')


def paragraph(text: object) -> Html:
    """A paragraph."""
    return Html(f"<p>{safe(text)}</p>")


def bullets(items: Sequence[object]) -> Html:
    """A list."""
    return Html("<ul>" + "".join(f"<li>{safe(item)}</li>" for item in items) + "</ul>")


def picture(path: Path, title: str, caption: str) -> Html:
    """A PNG inside the page, with its caption; a missing file is told in its place. Its name is its anchor."""
    heading = f"<b>{safe(title)}.</b> {safe(caption)}"
    if not path.is_file():
        told = f"{safe(title)}: the file figures/{safe(path.name)} is missing in this run."
        return Html(f'<p class="told" id="{safe(path.stem)}">{told}</p>')
    image = f'<img alt="{safe(title)}" src="{_embedded(path)}">'
    return Html(f'<figure id="{safe(path.stem)}">{image}<figcaption>{heading}</figcaption></figure>')


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def folded(summary: str, *parts: object) -> Html:
    """What is shown on demand."""
    body = "".join(safe(part) for part in parts)
    return Html(f'<details class="fold"><summary>{safe(summary)}</summary>{body}</details>')


def document(title: str, body: Sequence[object]) -> str:
    """The whole page."""
    content = "\n".join(safe(part) for part in body)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>\n<body>\n{content}\n</body></html>\n"
    )
