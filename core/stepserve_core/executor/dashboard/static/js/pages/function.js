// One function: triggers, options, next times, its latest runs; pausing and resuming it.

import { h, fill } from "../core/dom.js";
import { path, post, request } from "../core/api.js";
import { appOf, catalog, functionOf } from "../core/catalog.js";
import { moment, when } from "../core/format.js";
import { confirmed, during, toast } from "../parts/announce.js";
import { empty, facts, pageHead, section } from "../parts/blocks.js";
import { flowFacts, triggerChips } from "../parts/flow_facts.js";
import { jsonTree } from "../parts/json_tree.js";
import { runTable } from "../parts/run_rows.js";
import { badge } from "../parts/status.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../core/catalog.js").Fn} Fn */

const PAUSE = 1000;

/** @param {View} view */
export async function showFunction(view) {
  const slug = view.params.slug;
  view.title(slug);
  let all = await catalog();
  const top = h("div");
  const runs = h("div", { class: "list" });
  const { table, show } = runTable(all, "Latest runs of this function");
  const rest = h("div");
  const config = h("details", { class: "section" });
  fill(view.root, top, rest, section("Latest runs", runs), config);

  const drawTop = async () => {
    all = await catalog();
    const fn = functionOf(all, slug);
    if (!fn) {
      fill(view.root, pageHead({ title: slug, trail: { href: "/functions", text: "Functions" } }), empty("There is no such function now", "Its app does not serve it any more, or was removed."));
      return null;
    }
    view.title(fn.name);
    fill(
      top,
      pageHead({
        trail: { href: "/functions", text: "Functions" },
        title: [fn.name, " ", badge(fn.paused ? "PAUSED" : "ACTIVE")],
        lead: fn.paused ? pausedText(fn.paused) : null,
        actions: [h("a", { class: "button", href: `/send?function=${encodeURIComponent(fn.slug)}` }, "Invoke"), ...pauseButtons(fn, redraw)],
      }),
    );
    fill(rest, about(fn, appOf(all, fn.appId)?.name));
    fill(config, h("summary", null, "Configuration as it was registered"), jsonTree(fn.config, "configuration", { open: 2 }));
    return fn;
  };
  const redraw = async () => {
    await catalog({ fresh: true });
    await drawTop();
  };
  const fn = await drawTop();
  if (!fn) return;
  const refresh = async () => {
    const query = new URLSearchParams({ appId: fn.appId, functionId: fn.id, limit: "10", includePreview: "true" });
    const page = await request("GET", `/v2/runs?${query}`, { signal: view.signal });
    show(page.data);
    const more = h("a", { href: `/runs?function=${encodeURIComponent(fn.slug)}` }, "All runs of this function");
    fill(runs, page.data.length ? [table, h("p", { class: "list-foot" }, more)] : empty("It has not run yet", "It runs when one of its triggers fires, or when you invoke it."));
  };
  await refresh();
  view.follow((change) => change.runs.size > 0, refresh, PAUSE);
  view.follow((change) => change.apps, async () => void (await drawTop()), PAUSE);
}

/** @param {string} mode */
function pausedText(mode) {
  return mode === "skip" ? "Paused: new runs are skipped. Runs that had started go on." : "Paused: new runs wait until it is resumed. Runs that had started go on.";
}

/** @param {Fn} fn @param {() => Promise<void>} redraw */
function pauseButtons(fn, redraw) {
  if (fn.paused) {
    const resume = h("button", { type: "button", class: "button primary" }, "Resume");
    resume.addEventListener("click", () =>
      during(resume, async () => {
        await post(path`/v1/functions/${fn.slug}/resume`);
        toast(`${fn.name} starts runs again; those that waited go first.`);
        await redraw();
      }),
    );
    return [resume];
  }
  const pause = (/** @type {string} */ mode, /** @type {string} */ text, /** @type {string} */ what) => {
    const button = h("button", { type: "button", class: "button" }, text);
    button.addEventListener("click", () =>
      during(button, async () => {
        if (!(await confirmed({ title: `Pause ${fn.name}?`, text: what, action: text }))) return;
        await post(path`/v1/functions/${fn.slug}/pause`, JSON.stringify({ mode }));
        toast(`${fn.name} is paused.`);
        await redraw();
      }),
    );
    return button;
  };
  return [
    pause("hold", "Pause", "It starts no runs until it is resumed; new ones wait in their order. Runs that have started go on."),
    pause("skip", "Pause and skip", "It starts no runs until it is resumed; events that would start one are skipped and that run is lost. Runs that have started go on."),
  ];
}

/** @param {Fn} fn @param {string | undefined} app */
function about(fn, app) {
  const flow = flowFacts(fn);
  return [
    facts([
      ["Slug", h("code", null, fn.slug)],
      ["App", app],
      ["Triggers", h("span", { class: "chips" }, triggerChips(fn))],
      ["Attempts", `${fn.maxAttempts} at most`],
      ["Version", String(fn.version)],
    ]),
    fn.schedules.length ? section("Next times", fn.schedules.map(schedule)) : null,
    section("Flow control", flow.length ? facts(flow.map(([name, text]) => [name, text])) : h("p", { class: "muted" }, "No limits: every event starts a run at once.")),
  ];
}

/** @param {{cron: string, next: string[]}} one */
function schedule(one) {
  return h("div", { class: "schedule" }, h("code", null, one.cron), h("ul", { class: "plain" }, one.next.map((iso) => h("li", null, moment(iso), " · ", when(iso)))));
}
