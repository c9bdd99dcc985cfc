// The dashboard: connects, lets people in, shows the page of the address.

import { byId, h } from "./core/dom.js";
import { request, whenUnauthorized } from "./core/api.js";
import { forget } from "./core/catalog.js";
import { startTicking } from "./core/format.js";
import { Live } from "./core/live.js";
import { route, Router } from "./core/router.js";
import { showHelp, startShortcuts } from "./core/shortcuts.js";
import { startTheme } from "./core/theme.js";
import { say } from "./parts/announce.js";
import { openPalette } from "./parts/palette.js";
import { showApps } from "./pages/apps.js";
import { showEvent } from "./pages/event.js";
import { showEvents } from "./pages/events.js";
import { showFunction } from "./pages/function.js";
import { showFunctions } from "./pages/functions.js";
import { showLogin } from "./pages/login.js";
import { showOverview } from "./pages/overview.js";
import { showRun } from "./pages/run.js";
import { showRuns } from "./pages/runs.js";
import { showSend } from "./pages/send.js";

const PAGES = [
  route("overview", "/", showOverview),
  route("runs", "/runs", showRuns),
  route("runs", "/runs/:id", showRun),
  route("events", "/events", showEvents),
  route("events", "/events/:id", showEvent),
  route("functions", "/functions", showFunctions),
  route("functions", "/functions/:slug*", showFunction),
  route("apps", "/apps", showApps),
  route("send", "/send", showSend),
];

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Connection lost; trying again…",
};

/** @param {"connecting" | "live" | "lost"} state */
function showLink(state) {
  const element = byId("link-state");
  const before = element.dataset.state;
  element.dataset.state = state;
  byId("link-text").textContent = STATES[state];
  if (state === "lost" && before === "live") say("The connection to the server is lost");
  if (state === "live" && before === "lost") say("Connected again");
}

async function start() {
  startTheme(byId("theme-button"));
  startTicking();
  const live = new Live(showLink);
  live.listen((change) => {
    if (change.apps || change.everything) forget();
  });
  const router = new Router(byId("main"), PAGES, live);
  const session = await request("GET", "/dashboard/session");
  byId("server-meta").textContent = `${session.kind === "dev" ? "Development" : "Production"} · ${session.version}`;
  prepareLogout(session.loginNeeded);
  const enter = () => {
    byId("shell").classList.remove("locked");
    live.start();
    router.start();
    const go = (/** @type {string} */ address) => router.go(address);
    const palette = () => openPalette(go);
    startShortcuts({ go, palette });
    byId("palette-button").addEventListener("click", palette);
    byId("keys-button").addEventListener("click", showHelp);
  };
  if (session.entered) enter();
  else lock(enter);
  whenUnauthorized(async () => {
    const now = await request("GET", "/dashboard/session");
    if (!now.entered) location.reload();
  });
}

/** @param {() => void} enter */
function lock(enter) {
  byId("shell").classList.add("locked");
  showLogin(byId("main"), enter);
}

/** @param {boolean} isNeeded */
function prepareLogout(isNeeded) {
  const button = byId("logout-button");
  button.hidden = !isNeeded;
  button.addEventListener("click", async () => {
    await request("DELETE", "/dashboard/session");
    location.assign("/");
  });
}

start().catch((error) => {
  byId("main").replaceChildren(h("div", { class: "page" }, h("h1", null, "The dashboard cannot start"), h("p", { class: "lead", role: "alert" }, error.message)));
});
