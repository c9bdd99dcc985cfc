// All runs: filters in the address, pages by key, the newest kept current.

import { h, fill } from "../core/dom.js";
import { get, request } from "../core/api.js";
import { catalog } from "../core/catalog.js";
import { showProblem } from "../parts/announce.js";
import { command, empty, pageHead } from "../parts/blocks.js";
import { runFilters } from "../parts/run_filters.js";
import { runTable } from "../parts/run_rows.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../parts/run_rows.js").Run} Run */

const PAGE = 50;
const PAUSE = 1000;

/** @param {View} view */
export async function showRuns(view) {
  view.title("Runs");
  const all = await catalog();
  const list = h("div", { class: "list" });
  const { table, show } = runTable(all, "Runs, the newest first");
  const more = h("button", { type: "button", class: "button" }, "Show older runs");
  const foot = h("div", { class: "list-foot" }, more);
  /** @type {{newest: Run[], older: Run[], cursor: string | null}} */
  const state = { newest: [], older: [], cursor: null };

  const filters = runFilters(view, all, async () => {
    state.older = [];
    state.cursor = null;
    await refresh();
  });
  fill(view.root, pageHead({ title: "Runs" }), filters.element, list);

  const draw = () => {
    const known = new Set(state.newest.map((run) => run.id));
    const runs = [...state.newest, ...state.older.filter((run) => !known.has(run.id))];
    foot.hidden = !state.cursor;
    more.textContent = filters.isSearch() && !runs.length ? "Nothing found yet: search older runs" : "Show older runs";
    show(runs);
    if (runs.length) fill(list, table, foot);
    else fill(list, nothing(filters.isActive()), foot);
  };

  const refresh = async () => {
    const address = filters.address(PAGE);
    let page;
    try {
      page = await request("GET", address, { signal: view.signal });
    } catch (error) {
      if (view.signal.aborted) return;
      showProblem(list, error instanceof Error ? error.message : String(error));
      return;
    }
    if (address !== filters.address(PAGE)) return; // the filters changed while we asked
    if (!state.older.length) state.cursor = page.page.cursor;
    state.newest = mergeNewest(state, page.data);
    draw();
  };

  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const page = await request("GET", `${filters.address(PAGE)}&cursor=${encodeURIComponent(state.cursor ?? "")}`);
      state.older.push(...page.data);
      state.cursor = page.page.cursor;
      draw();
    } finally {
      more.disabled = false;
    }
  });

  await refresh();
  view.follow((change) => change.runs.size > 0, async () => {
    await refresh();
    await refreshOlder(state, draw, view.signal);
  }, PAUSE);
}

/**
 * The first page moves on as runs arrive; what falls off its end stays known where older pages are shown below it.
 *
 * @param {{newest: Run[], older: Run[]}} state
 * @param {Run[]} fetched
 */
function mergeNewest(state, fetched) {
  if (!state.older.length) return fetched;
  const known = new Set(fetched.map((run) => run.id));
  state.older = [...state.newest.filter((run) => !known.has(run.id)), ...state.older];
  return fetched;
}

/**
 * Runs of older pages change too while they are active; each is looked at alone, and there are few of them.
 *
 * @param {{older: Run[]}} state
 * @param {() => void} draw
 * @param {AbortSignal} signal
 */
async function refreshOlder(state, draw, signal) {
  const active = state.older.filter((run) => !run.endedAt).slice(0, 20);
  if (!active.length) return;
  const current = await Promise.all(active.map((run) => get(`/v2/runs/${run.id}`, signal)));
  const byId = new Map(current.map((run) => [run.id, run]));
  state.older = state.older.map((run) => byId.get(run.id) ?? run);
  draw();
}

/** @param {boolean} isFiltered */
function nothing(isFiltered) {
  if (isFiltered) return empty("No run matches", "Nothing was found for these filters. Loosen one, or look further back.");
  return empty(
    "No runs yet",
    "A run appears here as soon as an event starts a function. Send one from the form, or from a terminal:",
    command("stepserve send shop/order.created --data '{\"order_id\": \"A-1\"}'"),
    h("p", null, h("a", { href: "/send" }, "Open the form"), " or see which ", h("a", { href: "/functions" }, "functions"), " there are."),
  );
}
