// All runs: filters in the address, pages by key, the newest kept current.

import { h, fill } from "../core/dom.js";
import { request } from "../core/api.js";
import { catalog } from "../core/catalog.js";
import { during, showProblem } from "../parts/announce.js";
import { arrivals } from "../parts/arrivals.js";
import { command, empty, pageHead } from "../parts/blocks.js";
import { runFilters } from "../parts/run_filters.js";
import { current, runTable } from "../parts/run_rows.js";

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
  /** @type {{newest: Run[], older: Run[], cursor: string | null, fetched: {data: Run[], cursor: string | null} | null}} */
  const state = { newest: [], older: [], cursor: null, fetched: null };

  const filters = runFilters(view, all, async () => {
    Object.assign(state, { newest: [], older: [], cursor: null, fetched: null });
    gate.tell(0);
    await refresh();
  });
  const admit = () => {
    if (!state.fetched) return;
    mergeNewest(state, state.fetched);
    state.fetched = null;
    draw();
  };
  const gate = arrivals(list, "run", admit, view.signal);
  fill(view.root, pageHead({ title: "Runs" }), filters.element, gate.element);

  const draw = () => {
    const known = new Set(state.newest.map((run) => run.id));
    const runs = [...state.newest, ...state.older.filter((run) => !known.has(run.id))];
    foot.hidden = !state.cursor;
    more.textContent = filters.isSearch() && !runs.length ? "Nothing found yet: search older runs" : "Show older runs";
    show(runs);
    if (!runs.length) fill(list, nothing(filters), foot);
    else if (table.parentElement !== list) fill(list, table, foot);
  };

  const refresh = async () => {
    const address = filters.address(PAGE);
    let page;
    list.ariaBusy = String(!state.newest.length);
    try {
      page = await request("GET", address, { signal: view.signal });
    } catch (error) {
      if (view.signal.aborted) return;
      showProblem(list, error instanceof Error ? error.message : String(error));
      return;
    } finally {
      list.ariaBusy = "false";
    }
    if (address !== filters.address(PAGE)) return; // the filters changed while we asked
    state.fetched = { data: page.data, cursor: page.page.cursor };
    const fresh = unknown(state, page.data);
    if (!state.newest.length || !fresh || !gate.isBusy()) return admit();
    gate.tell(fresh);
    const known = new Map(page.data.map((/** @type {Run} */ run) => [run.id, run]));
    state.newest = state.newest.map((run) => known.get(run.id) ?? run);
    draw();
  };

  more.addEventListener("click", () =>
    during(more, async () => {
      const page = await request("GET", `${filters.address(PAGE)}&cursor=${encodeURIComponent(state.cursor ?? "")}`);
      state.older.push(...page.data);
      state.cursor = page.page.cursor;
      draw();
    }),
  );

  await refresh();
  view.follow((change) => change.runs.size > 0, async () => {
    await refresh();
    state.older = await current(state.older, view.signal);
    draw();
  }, PAUSE);
}

/** How many of some runs are not shown yet. @param {{newest: Run[], older: Run[]}} state @param {Run[]} fetched */
function unknown(state, fetched) {
  const known = new Set([...state.newest, ...state.older].map((run) => run.id));
  return fetched.filter((run) => !known.has(run.id)).length;
}

/**
 * The first page moves on as runs arrive; what falls off its end stays known where older pages are shown below it.
 *
 * @param {{newest: Run[], older: Run[], cursor: string | null}} state
 * @param {{data: Run[], cursor: string | null}} fetched
 */
function mergeNewest(state, fetched) {
  const known = new Set(fetched.data.map((run) => run.id));
  const left = state.newest.filter((run) => !known.has(run.id));
  // Where nothing of the last page is in the new one there is a gap between them: the list begins anew.
  const isAnew = !state.older.length || left.length === state.newest.length;
  state.older = isAnew ? [] : [...left, ...state.older];
  if (isAnew) state.cursor = fetched.cursor;
  state.newest = fetched.data;
}

/** @param {ReturnType<typeof runFilters>} filters */
function nothing(filters) {
  if (filters.isActive()) {
    const clear = h("a", { class: "button", href: "/runs" }, "Clear the filters");
    return empty("No run matches", "Nothing was found for these filters. Loosen one, or look further back.", h("p", null, clear));
  }
  return empty(
    "No runs yet",
    "A run appears here as soon as an event starts a function. Send one from the form, or from a terminal:",
    command("stepserve send shop/order.created --data '{\"order_id\": \"A-1\"}'"),
    h("p", null, h("a", { href: "/send" }, "Open the form"), " or see which ", h("a", { href: "/functions" }, "functions"), " there are."),
  );
}
