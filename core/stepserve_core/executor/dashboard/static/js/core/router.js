// From an address to a page, without loading the document again.

import { h, fill } from "./dom.js";
import { gently } from "./live.js";

/** @typedef {import("./live.js").Live} Live */
/** @typedef {import("./live.js").Change} Change */

const PATIENCE = 200;

/** What a page is given. */
export class View {
  /**
   * @param {HTMLElement} root
   * @param {Record<string, string>} params
   * @param {Live} live
   */
  constructor(root, params, live) {
    this.root = root;
    this.params = params;
    this.query = new URLSearchParams(location.search);
    this._live = live;
    this._end = new AbortController();
    this.signal = this._end.signal;
  }

  /** @param {string} text */
  title(text) {
    document.title = `${text} · stepserve`;
  }

  /**
   * Do `work` again when something changes that concerns the page, but not more often than every `pause` milliseconds.
   *
   * @param {(change: Change) => boolean} concerns
   * @param {() => Promise<void>} work
   * @param {number} pause
   */
  follow(concerns, work, pause) {
    const again = gently(async () => {
      try {
        await work();
      } catch (error) {
        // What is shown stays; the state of the connection says that it may be old.
        if (!this.signal.aborted) console.warn(error);
      }
    }, pause, this.signal);
    const stop = this._live.listen((change) => {
      if (change.everything || concerns(change)) again();
    });
    this.signal.addEventListener("abort", stop);
  }

  /** End everything that the page has begun. */
  close() {
    this._end.abort();
  }
}

/** @typedef {{page: string, pattern: RegExp, names: string[], show: (view: View) => Promise<void> | void}} Entry */

/**
 * Describe a page. `:name` in the address is a parameter, `:name*` one that may hold slashes.
 *
 * @param {string} page which entry of the navigation it belongs to
 * @param {string} address
 * @param {(view: View) => Promise<void> | void} show
 * @returns {Entry}
 */
export function route(page, address, show) {
  /** @type {string[]} */
  const names = [];
  const pattern = address.replace(/:(\w+)(\*?)/g, (_, name, many) => {
    names.push(name);
    return many ? "(.+)" : "([^/]+)";
  });
  return { page, pattern: new RegExp(`^${pattern}/?$`), names, show };
}

export class Router {
  /** @param {HTMLElement} main @param {Entry[]} entries @param {Live} live */
  constructor(main, entries, live) {
    this._main = main;
    this._entries = entries;
    this._live = live;
    /** @type {View | null} */
    this._view = null;
  }

  /** Show the page of the address, and follow links from then on. */
  start() {
    window.addEventListener("popstate", () => this.show());
    document.addEventListener("click", (event) => this._follow(event));
    this.show();
  }

  /** @param {string} address @param {{replace?: boolean}} [options] */
  go(address, options = {}) {
    if (options.replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.show();
    window.scrollTo(0, 0);
  }

  /** Show the page of the current address, from the beginning. */
  async show() {
    this._view?.close();
    const isFirst = this._view === null;
    const { entry, params } = this._match(location.pathname);
    this._mark(entry?.page ?? "");
    const root = h("div", { class: "page" });
    const view = new View(root, params, this._live);
    this._view = view;
    this._main.ariaBusy = "true";
    // The page before stays until there is something to show: nothing flickers.
    const enter = () => {
      if (this._view === view && root.parentElement !== this._main) fill(this._main, root);
    };
    const timer = setTimeout(enter, PATIENCE);
    try {
      if (entry) await entry.show(view);
      else showUnknown(view);
    } catch (error) {
      if (!view.signal.aborted) showProblem(view, error, () => this.show());
    }
    clearTimeout(timer);
    enter();
    if (this._view === view) this._main.ariaBusy = "false";
    // A screen reader goes on where the new page begins.
    if (!isFirst && !view.signal.aborted) this._main.focus({ preventScroll: true });
  }

  /** @param {string} path */
  _match(path) {
    for (const entry of this._entries) {
      const match = entry.pattern.exec(path);
      if (match) {
        const params = Object.fromEntries(entry.names.map((name, index) => [name, decodeURIComponent(match[index + 1])]));
        return { entry, params };
      }
    }
    return { entry: null, params: {} };
  }

  /** @param {string} page */
  _mark(page) {
    for (const link of document.querySelectorAll("[data-page]")) {
      if (link.getAttribute("data-page") === page) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {MouseEvent} event */
  _follow(event) {
    const target = event.target instanceof Element ? event.target.closest("a") : null;
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!target || !isPlain || event.defaultPrevented || target.target || target.origin !== location.origin) return;
    if (target.hash && target.pathname === location.pathname) return;
    event.preventDefault();
    this.go(target.pathname + target.search);
  }
}

/** @param {View} view */
function showUnknown(view) {
  view.title("Not found");
  fill(view.root, h("h1", null, "There is no such page"), h("p", null, h("a", { href: "/" }, "Go to the overview")));
}

/** @param {View} view @param {unknown} error @param {() => void} retry */
function showProblem(view, error, retry) {
  view.title("Problem");
  const up = location.pathname.split("/")[1];
  fill(
    view.root,
    h("h1", null, "This page cannot be shown"),
    h("p", { class: "lead", role: "alert" }, error instanceof Error ? error.message : String(error)),
    h(
      "p",
      { class: "actions after" },
      h("button", { type: "button", class: "button", on: { click: retry } }, "Try again"),
      h("a", { class: "button quiet", href: `/${up}` }, up ? `All ${up}` : "Overview"),
    ),
  );
}
