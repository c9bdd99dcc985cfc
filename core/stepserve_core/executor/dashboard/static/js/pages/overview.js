// What is going on now, and in the last hour.

import { h, fill } from "../core/dom.js";
import { get, request } from "../core/api.js";
import { catalog, functionOf } from "../core/catalog.js";
import { duration, number, when } from "../core/format.js";
import { command, empty, pageHead, section } from "../parts/blocks.js";
import { throughputChart } from "../parts/chart.js";
import { runTable } from "../parts/run_rows.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../core/catalog.js").Catalog} Catalog */

const PAUSE = 2000;
const SHOWN = 8;

/** @param {View} view */
export async function showOverview(view) {
  view.title("Overview");
  const tiles = h("div", { class: "tiles" });
  const chart = throughputChart();
  const active = h("div", { class: "list" });
  const failures = h("div", { class: "list" });
  const failing = h("div", { class: "list" });
  const columns = h("div", { class: "columns" }, section("Recent failures", failures), section("Failing most in the last hour", failing));
  const body = h("div", { class: "overview" });
  fill(view.root, pageHead({ title: "Overview" }), body);

  const refresh = async () => {
    const [figures, failed, running] = await Promise.all([
      get("/v1/overview", view.signal),
      request("GET", `/v2/runs?status=FAILED&limit=${SHOWN}&includeOutput=true`, { signal: view.signal }),
      request("GET", `/v2/runs?status=RUNNING&status=QUEUED&limit=${SHOWN}&includePreview=true`, { signal: view.signal }),
    ]);
    const all = await catalog();
    if (!all.functions.length && !sum(figures, "queued")) {
      fill(body, welcome(figures.kind));
      return;
    }
    drawTiles(tiles, figures);
    chart.draw(figures);
    drawActive(active, all, running.data);
    drawFailures(failures, all, failed.data);
    drawFailing(failing, all, figures.failing);
    if (tiles.parentElement !== body) fill(body, tiles, chart.element, columns, section("Active now", active));
  };
  await refresh();
  view.follow(() => true, refresh, PAUSE);
  // Without any change the minutes still move on.
  const timer = setInterval(() => refresh().catch(() => {}), 30_000);
  view.signal.addEventListener("abort", () => clearInterval(timer));
}

/** @param {any} figures @param {string} name */
function sum(figures, name) {
  return figures.throughput.reduce((/** @type {number} */ total, /** @type {any} */ bucket) => total + bucket[name], 0);
}

/** @param {HTMLElement} place @param {any} figures */
function drawTiles(place, figures) {
  const completed = sum(figures, "completed");
  const failed = sum(figures, "failed");
  const ended = completed + failed;
  const recent = figures.throughput.slice(-5).reduce((/** @type {number} */ total, /** @type {any} */ one) => total + one.completed + one.failed, 0);
  const { ready, running, blocked, scheduled } = figures.queue;
  const first = figures.firstWaiting;
  fill(
    place,
    tile("Finished in the last hour", number(ended), `${number(Math.round(recent / 5))} a minute lately`, "/runs?minutes=60&status=COMPLETED&status=FAILED"),
    tile("Failed in the last hour", number(failed), ended ? `${((100 * failed) / ended).toFixed(failed ? 1 : 0)} % of those finished` : "nothing finished", "/runs?minutes=60&status=FAILED", failed ? "fail" : ""),
    tile("In the queue", number(ready + blocked), `${number(running)} being called · ${number(blocked)} held by a limit · ${number(scheduled)} for later`, "/runs?status=QUEUED&status=RUNNING"),
    tile("Oldest waiting", first ? duration(first.seconds * 1000) : "none", first ? first.function : "nothing has to wait", first?.runId ? `/runs/${first.runId}` : "/runs?status=QUEUED", first && first.seconds > 60 ? "wait" : ""),
  );
}

/** @param {string} name @param {string} value @param {string} note @param {string} href @param {string} [tone] */
function tile(name, value, note, href, tone = "") {
  return h("a", { class: `tile ${tone}`, href }, h("span", { class: "tile-name" }, name), h("span", { class: "tile-value" }, value), h("span", { class: "tile-note" }, note));
}

/** @type {WeakMap<HTMLElement, ReturnType<typeof runTable>>} */
const tables = new WeakMap();

/** @param {HTMLElement} place @param {Catalog} all @param {any[]} runs */
function drawActive(place, all, runs) {
  if (!runs.length) {
    fill(place, h("p", { class: "quiet-note" }, "Nothing is running: every run has ended."));
    return;
  }
  const known = tables.get(place) ?? runTable(all, "Active runs, the newest first");
  tables.set(place, known);
  known.show(runs);
  if (known.table.parentElement !== place) fill(place, known.table);
}

/** @param {HTMLElement} place @param {Catalog} all @param {any[]} runs */
function drawFailures(place, all, runs) {
  if (!runs.length) {
    fill(place, h("p", { class: "quiet-note" }, "No run has failed."));
    return;
  }
  const items = runs.map((run) => {
    const slug = run.function.slug ?? run.function.id;
    return h(
      "li",
      null,
      h("a", { class: "item-link", href: `/runs/${run.id}` }, functionOf(all, slug)?.name ?? slug),
      h("span", { class: "item-note" }, messageOf(run.output)),
      h("span", { class: "item-time" }, when(run.endedAt ?? run.queuedAt)),
    );
  });
  fill(place, h("ul", { class: "items" }, items));
}

/** @param {any} output */
function messageOf(output) {
  if (output && typeof output === "object") return String(output.message ?? output.name ?? "").split("\n")[0];
  return String(output ?? "");
}

/** @param {HTMLElement} place @param {Catalog} all @param {any[]} failing */
function drawFailing(place, all, failing) {
  if (!failing.length) {
    fill(place, h("p", { class: "quiet-note" }, "No function failed in the last hour."));
    return;
  }
  const most = Math.max(...failing.map((one) => one.failed));
  const items = failing.map((one) => {
    const meter = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
    /** @type {HTMLElement} */ (meter.firstElementChild).style.width = `${(100 * one.failed) / most}%`;
    return h(
      "li",
      null,
      h("a", { class: "item-link", href: `/runs?status=FAILED&minutes=60&function=${encodeURIComponent(one.function)}` }, functionOf(all, one.function)?.name ?? one.function),
      h("span", { class: "item-note" }, `${number(one.failed)} failed, the last `, when(one.lastAt)),
      meter,
    );
  });
  fill(place, h("ul", { class: "items" }, items));
}

/** @param {string} kind */
function welcome(kind) {
  const origin = location.origin;
  const dev = kind === "dev";
  return empty(
    "No app is connected yet",
    "stepserve runs the functions that your app serves. Start your app, then tell this server where it is:",
    h(
      "ol",
      { class: "steps" },
      h("li", null, "Start your app so that it knows this server:", command(dev ? "INNGEST_DEV=1 flask --app app run --port 8000" : `INNGEST_BASE_URL=${origin} INNGEST_SIGNING_KEY=… gunicorn app:app`)),
      h("li", null, "Start stepserve with its address, or add it under ", h("a", { href: "/apps" }, "Apps"), ":", command(`stepserve ${dev ? "dev" : "start"} -u http://127.0.0.1:8000/api/inngest`)),
      h("li", null, "Send an event, and watch its runs here:", command("stepserve send shop/order.created --data '{\"order_id\": \"A-1\"}'")),
    ),
  );
}
