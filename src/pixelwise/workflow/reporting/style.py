"""CSS of the report: light and dark, responsive, printable."""

STYLE = """
:root { color-scheme: light dark; --text: #1c2126; --soft: #5b6570; --line: #dde1e6; --ground: #fff; --raised: #f5f7f9;
  --accent: #005b94; --track: #dfe5ea; --band: #8fbfe0; --warn: #8a4b00; --warn-ground: #fff4e0; --warn-line: #e69f00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --soft: #9aa5b1; --line: #30363d; --ground: #14181c; --raised: #1c2227; --accent: #74bdf0;
    --track: #333b43; --band: #2f6690; --warn: #ffcf7d; --warn-ground: #2e2412; --warn-line: #a87100; }
  .charts img, .curves img { filter: invert(1) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--text); background: var(--ground); max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.05rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 1rem; }
h3 { font-size: .95rem; font-weight: 400; color: var(--soft); margin: 0 0 .45rem; overflow-wrap: anywhere; }
h3 b { color: var(--text); margin-right: .6em; } h3 i { font-style: normal; color: var(--text); }
p { margin: 0 0 .7rem; max-width: 46rem; overflow-wrap: anywhere; }
section { margin-top: 2.8rem; padding-top: 1.6rem; border-top: 1px solid var(--line); }
.meta { color: var(--soft); font-size: .9rem; margin: 0; }
.warning { border: 1px solid var(--warn-line); border-left-width: 6px; border-radius: 6px; margin: 1.4rem 0 0;
  background: var(--warn-ground); padding: .9rem 1.1rem; } .warning b { color: var(--warn); }
.warning p { margin: .25rem 0 0; } .flag { white-space: nowrap; }
.lead { margin: 1.6rem 0 1.4rem; }
.lead p { font-size: 1.55rem; line-height: 1.35; letter-spacing: -.01em; margin: 0 0 .35rem; max-width: 52rem; }
.lead p b { color: var(--accent); font-weight: 650; }
.lead p span { color: var(--soft); font-size: 1.05rem; letter-spacing: 0; } .lead span { white-space: nowrap; }
.lead p.next { font-size: 1.1rem; letter-spacing: 0; margin-top: .5rem; }
.notes { color: var(--soft); font-size: .9rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 0 0 1.2rem; }
.numbers div { background: var(--raised); border-radius: 8px; padding: .75rem .9rem .85rem; }
.numbers dt { font-size: .85rem; color: var(--soft); } .numbers dt::first-letter { text-transform: uppercase; }
.numbers dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.numbers dd small { font-size: .8rem; font-weight: 400; color: var(--soft); white-space: nowrap; }
.range { display: block; width: 100%; height: 10px; margin-top: .4rem; }
.range .track { fill: var(--track); } .range .band { fill: var(--band); } .range .dot { fill: var(--accent); }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; white-space: nowrap; }
th, td { padding: .3rem 1.2rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:last-child, td:last-child { padding-right: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { display: inline-block; vertical-align: top; overflow-x: auto; margin: 0 3rem 1.4rem 0; max-width: 100%; }
.case { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .6rem; margin: 0 0 1.8rem; }
.case img, .gallery img { width: 100%; border-radius: 4px; background: #000; display: block; }
.case img { max-height: 26rem; object-fit: contain; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere; }
.case figcaption, .gallery figcaption { padding-top: .25rem; line-height: 1.35; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: 1rem .8rem;
  margin: 0 0 1.8rem; }
.gallery img { aspect-ratio: 1; object-fit: contain; } .gallery img.small { image-rendering: pixelated; }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: 0 0 1rem;
  font-size: .88rem; color: var(--soft); }
.key span { display: inline-block; width: .85em; height: .85em; border-radius: 2px; margin-right: .4em;
  outline: 1px solid var(--line); vertical-align: -.05em; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17.5rem, 100%), 1fr)); gap: 1.6rem;
  margin: 0 0 1.2rem; }
.charts figcaption { color: var(--text); font-size: .92rem; font-weight: 600; padding-bottom: .3rem; }
.charts img { width: 100%; max-width: 26rem; display: block; } .curves img { max-width: 100%; display: block; }
.curves { margin: 0 0 1.4rem; } .snapshots { width: 100%; max-width: 46rem; border-radius: 4px; }
details { margin: .5rem 0; } summary { cursor: pointer; padding: .25rem 0; }
section.more > details > summary { font-weight: 600; font-size: 1.02rem; padding: .6rem 0; }
section.more > details { border-bottom: 1px solid var(--line); margin: 0; }
section.more .scroll { display: block; margin-right: 0; }
section.more > details[open] { padding-bottom: .8rem; }
code { background: var(--raised); padding: .1em .35em; border-radius: 4px; font-size: .92em; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { padding: 1.4rem 1rem 3rem; } .lead p { font-size: 1.3rem; } .lead p span { font-size: .95rem; }
  .numbers { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .6rem; } .numbers dd { font-size: 1.25rem; }
  .numbers dd small { display: block; }
  .case { grid-template-columns: repeat(2, minmax(0, 1fr)); } .gallery { grid-template-columns: repeat(3, 1fr); }
  section { margin-top: 2rem; padding-top: 1.3rem; } .scroll { margin-right: 0; } th, td { padding-right: .8rem; }
}
@media print {
  :root { color-scheme: light; } @page { margin: 16mm 14mm; }
  body { font-size: 9.5pt; padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section { margin-top: 1.2rem; padding-top: .9rem; } h2, h3, caption, summary { break-after: avoid; }
  .case, .charts figure, .gallery figure, .numbers, .warning, tr { break-inside: avoid; }
  .case { grid-template-columns: repeat(4, minmax(0, 1fr)); } .case img { max-height: 60mm; }
  .numbers { grid-template-columns: repeat(4, minmax(0, 1fr)); } .lead p { font-size: 15pt; }
  .charts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 5mm; }
  .scroll { display: block; overflow: visible; margin-right: 0; }
  .curves img { max-height: 120mm; } figure:has(> .snapshots) { display: none; }
  details::details-content { content-visibility: visible; display: block; }
}
"""
