// Throughput of the last hour: a bar for each minute, failures in their own colour, and the figures as a table.

import { fill, h, svg } from "../core/dom.js";
import { clock, number } from "../core/format.js";

const WIDTH = 720;
const HEIGHT = 120;
const GAP = 3;

/** @typedef {{at: string, queued: number, completed: number, failed: number, cancelled: number, skipped: number}} Bucket */

/** Build an empty chart, and return it with a function that draws figures. */
export function throughputChart() {
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const readout = h("p", { class: "chart-readout" });
  const scale = h("p", { class: "chart-scale number", "aria-hidden": "true" });
  const ends = h("div", { class: "chart-ends number", "aria-hidden": "true" });
  const table = h("table", { class: "unseen" });
  const element = h(
    "section",
    { class: "section chart-section", "aria-labelledby": "chart-title" },
    h("div", { class: "chart-head" }, h("h2", { id: "chart-title" }, "Runs finished, by minute"), readout),
    h("div", { class: "chart-box" }, scale, picture, ends),
    table,
  );
  /** @param {{throughput: Bucket[]}} figures */
  const draw = ({ throughput }) => {
    const most = Math.max(1, ...throughput.map((one) => one.completed + one.failed));
    const total = throughput.reduce((sum, one) => sum + one.completed + one.failed, 0);
    const rest = `${number(total)} finished · most in a minute: ${number(total ? most : 0)}`;
    readout.textContent = rest;
    scale.textContent = number(most);
    fill(ends, h("span", null, clock(throughput[0].at).slice(0, -3)), h("span", null, "now"));
    fill(picture, throughput.map((bucket, index) => column(bucket, index, throughput.length, most, (text) => (readout.textContent = text ?? rest))));
    fill(table, figuresTable(throughput));
  };
  return { element, draw };
}

/** @param {Bucket} bucket @param {number} index @param {number} count @param {number} most @param {(text: string | null) => void} tell */
function column(bucket, index, count, most, tell) {
  const slot = WIDTH / count;
  const completed = (bucket.completed / most) * (HEIGHT - 4);
  const failed = (bucket.failed / most) * (HEIGHT - 4);
  const place = { x: index * slot + GAP / 2, width: slot - GAP };
  const group = svg(
    "g",
    null,
    svg("rect", { class: "chart-back", x: index * slot, width: slot, y: 0, height: HEIGHT }),
    svg("rect", { class: "chart-base", ...place, y: HEIGHT - 1.5, height: 1.5 }),
    completed ? svg("rect", { class: "chart-ok", ...place, y: HEIGHT - completed, height: completed, rx: 1.5 }) : null,
    failed ? svg("rect", { class: "chart-fail", ...place, y: HEIGHT - completed - failed, height: failed, rx: 1.5 }) : null,
  );
  group.addEventListener("mouseenter", () => tell(`${clock(bucket.at).slice(0, -3)}: ${number(bucket.completed)} completed, ${number(bucket.failed)} failed`));
  group.addEventListener("mouseleave", () => tell(null));
  return group;
}

/** @param {Bucket[]} throughput */
function figuresTable(throughput) {
  const names = ["Minute", "Queued", "Completed", "Failed"];
  const rows = throughput.filter((one) => one.queued + one.completed + one.failed);
  return [
    h("caption", null, "Runs by minute; minutes without any are left out"),
    h("thead", null, h("tr", null, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, rows.map((one) => h("tr", null, h("th", { scope: "row" }, clock(one.at)), [one.queued, one.completed, one.failed].map((value) => h("td", null, number(value)))))),
  ];
}
