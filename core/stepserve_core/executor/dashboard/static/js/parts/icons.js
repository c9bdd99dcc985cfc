// Small pictures, drawn with the colour of the text around them.

import { svg } from "../core/dom.js";

const PATHS = {
  done: "m5 12.5 4.5 4.5L19 7.5",
  failed: "M7 7l10 10M17 7 7 17",
  running: "M12 4a8 8 0 1 1-8 8",
  queued: "M12 7v5l3.5 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17",
  cancelled: "M6 6l12 12M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17",
  skipped: "m6 6 7 6-7 6zM17 6v12",
  waiting: "M9 5v14M15 5v14",
  sleeping: "M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5",
  invoking: "M5 12h13M13 6l6 6-6 6",
  retrying: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  event: "M13 3 5 14h6l-1 7 8-11h-6z",
  clock: "M12 7v5l3.5 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17",
  batch: "M5 8h14M5 12h14M5 16h9",
  copy: "M9 9h10v10H9zM5 15V5h10",
  right: "m10 7 5 5-5 5",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * Draw a picture; it is decoration, the text beside it says the same.
 *
 * @param {IconName} name
 */
export function icon(name) {
  return svg("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
