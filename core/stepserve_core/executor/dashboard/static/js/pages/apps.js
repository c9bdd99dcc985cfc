// Apps: whether they are in sync, what is wrong with those that are not, and adding one.

import { h, fill } from "../core/dom.js";
import { path, post, request } from "../core/api.js";
import { catalog } from "../core/catalog.js";
import { when } from "../core/format.js";
import { confirmed, during, toast } from "../parts/announce.js";
import { command, empty, facts, pageHead } from "../parts/blocks.js";
import { badge } from "../parts/status.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../core/catalog.js").App} App */
/** @typedef {import("../core/catalog.js").Catalog} Catalog */

const PAUSE = 500;

/** @param {View} view */
export async function showApps(view) {
  view.title("Apps");
  const list = h("div", { class: "cards" });
  const draw = async (/** @type {{fresh?: boolean}} */ options = {}) => {
    const all = await catalog(options);
    fill(list, all.apps.length ? all.apps.map((app) => card(app, all, () => draw({ fresh: true }))) : nothing());
  };
  fill(view.root, pageHead({ title: "Apps" }), list, addForm(() => draw({ fresh: true })));
  await draw();
  view.follow((change) => change.apps, () => draw(), PAUSE);
}

/** @param {App} app @param {Catalog} all @param {() => Promise<void>} redraw */
function card(app, all, redraw) {
  const functions = all.functions.filter((one) => one.appId === app.id);
  const [language, version] = app.sdk.split(":");
  const isWeb = /^https?:\/\//.test(app.url);
  const title = app.name || "Not synced yet";
  return h(
    "article",
    { class: "card", "aria-label": title },
    h("div", { class: "card-head" }, h("h2", null, title), badge(app.error ? "ERROR" : "SYNCED")),
    app.error
      ? h("div", { class: "problem", role: "alert" }, h("p", null, h("strong", null, `${app.error[0].toUpperCase()}${app.error.slice(1)}`)), h("p", null, app.remedy ? `${app.remedy[0].toUpperCase()}${app.remedy.slice(1)}` : ""))
      : null,
    facts([
      ["Address", h("code", null, app.url)],
      ["Functions", functions.length ? h("a", { href: `/functions` }, String(functions.length)) : "none"],
      ["SDK", language ? `${language} ${version ?? ""}`.trim() : null],
      ["Framework", app.framework],
      ["App version", app.appVersion],
      ["Changed", when(app.syncedAt)],
    ]),
    h("div", { class: "actions" }, isWeb ? syncButton(app, redraw) : null, removeButton(app, redraw)),
  );
}

/** @param {App} app @param {() => Promise<void>} redraw */
function syncButton(app, redraw) {
  const button = h("button", { type: "button", class: "button" }, "Sync again");
  button.addEventListener("click", () =>
    during(button, async () => {
      report(await post(path`/v2/apps/${app.id}/sync`));
      await redraw();
    }),
  );
  return button;
}

/** @param {App} app */
function report(app) {
  if (app.error) toast(`${app.name || app.url} could not be synced: ${app.error}. ${app.remedy ?? ""}`, { isError: true });
  else toast(`${app.name} is in sync.`);
}

/** @param {App} app @param {() => Promise<void>} redraw */
function removeButton(app, redraw) {
  const button = h("button", { type: "button", class: "button quiet" }, "Remove");
  button.addEventListener("click", () =>
    during(button, async () => {
      const question = {
        title: `Remove ${app.name || app.url}?`,
        text: "Its functions start no more runs; runs that have started go on. It comes back when it is synced again.",
        action: "Remove",
      };
      if (!(await confirmed(question))) return;
      await request("DELETE", path`/fn/remove?url=${app.url}`);
      toast(`${app.name || app.url} was removed.`);
      await redraw();
    }),
  );
  return button;
}

/** @param {() => Promise<void>} redraw */
function addForm(redraw) {
  const url = h("input", { type: "text", inputmode: "url", id: "app-url", class: "input mono", required: true, placeholder: "http://127.0.0.1:8000/api/inngest", autocomplete: "off", spellcheck: "false" });
  const button = h("button", { type: "submit", class: "button primary" }, "Add app");
  const form = h(
    "form",
    { class: "section" },
    h("h2", null, "Add an app"),
    h("div", { class: "inline-form" }, h("label", { class: "field grow" }, h("span", null, "Address at which it serves its functions"), url), button),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(button, async () => {
      report(await post("/v2/apps", JSON.stringify({ url: url.value.trim() })));
      await redraw();
    });
  });
  return form;
}

function nothing() {
  return empty("No app yet", "Start your app, then add its address below or when you start the server:", command("stepserve dev -u http://127.0.0.1:8000/api/inngest"));
}
