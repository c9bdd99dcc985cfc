// What was started by what somebody just sent, as it goes on.

import { fill, h } from "../core/dom.js";
import { request } from "../core/api.js";
import { section } from "./blocks.js";
import { runTable } from "./run_rows.js";

const PAUSE = 300;

/**
 * Build a place that shows runs from the moment when an address of them is given.
 *
 * @param {import("../core/router.js").View} view
 * @param {import("../core/catalog.js").Catalog} all
 */
export function outcome(view, all) {
  const element = h("div", { "aria-live": "polite" });
  let address = "";
  let { table, show } = runTable(all, "Runs that were started");
  const refresh = async () => {
    if (!address) return;
    const asked = address;
    const { data } = await request("GET", asked, { signal: view.signal });
    if (asked !== address) return;
    const runs = Array.isArray(data) ? data : [data];
    show(runs);
    if (!runs.length) fill(element, section("Started by what you sent", h("p", { class: "muted" }, "Nothing so far: no function has a trigger for it, or flow control lets none start yet.")));
    else if (!table.isConnected) fill(element, section("Started by what you sent", h("div", { class: "list" }, table)));
  };
  view.follow((change) => change.runs.size > 0 || change.moreRuns, refresh, PAUSE);
  return {
    element,
    /** @param {string} path where the runs are found */
    watch: async (path) => {
      address = path;
      ({ table, show } = runTable(all, "Runs that were started"));
      await refresh();
    },
  };
}
