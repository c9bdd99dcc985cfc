// What changes on the server, as it changes: one stream of server-sent events for all pages.

/**
 * @typedef {{runs: Set<string>, moreRuns: boolean, events: boolean, apps: boolean, everything: boolean}} Change
 * @typedef {"connecting" | "live" | "lost"} LinkState
 */

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;

export class Live {
  /** @param {(state: LinkState) => void} onState */
  constructor(onState) {
    this._onState = onState;
    /** @type {Set<(change: Change) => void>} */
    this._listeners = new Set();
    this._lastId = "";
    this._pause = FIRST_PAUSE;
    /** @type {EventSource | null} */
    this._source = null;
    this._timer = 0;
  }

  /** Connect, and again whenever the connection is lost. */
  start() {
    this.stop();
    this._onState(this._lastId ? "lost" : "connecting");
    const source = new EventSource(this._lastId ? `/v1/live?after=${encodeURIComponent(this._lastId)}` : "/v1/live");
    this._source = source;
    source.addEventListener("open", () => {
      this._pause = FIRST_PAUSE;
      this._onState("live");
    });
    source.addEventListener("error", () => this._retry());
    source.addEventListener("hello", (event) => this._greet(event));
    source.addEventListener("reset", (event) => this._take(event, { everything: true }));
    source.addEventListener("changes", (event) => this._take(event, JSON.parse(event.data)));
  }

  /** Close the connection. */
  stop() {
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
  }

  /**
   * Be told of changes until the returned function is called.
   *
   * @param {(change: Change) => void} listener
   * @returns {() => void}
   */
  listen(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  _retry() {
    // Browsers retry by themselves, but give up for good when a proxy or a server that starts answers an error.
    this.stop();
    this._onState("lost");
    this._timer = window.setTimeout(() => this.start(), this._pause);
    this._pause = Math.min(this._pause * 2, LONGEST_PAUSE);
  }

  /** @param {MessageEvent} event */
  _greet(event) {
    if (this._lastId) this._take(event, { everything: true });
    this._lastId = event.lastEventId;
  }

  /** @param {MessageEvent} event @param {any} data */
  _take(event, data) {
    this._lastId = event.lastEventId;
    const change = {
      runs: new Set(data.runs ?? []),
      moreRuns: Boolean(data.moreRuns),
      events: Boolean(data.events),
      apps: Boolean(data.apps),
      everything: Boolean(data.everything),
    };
    for (const listener of [...this._listeners]) listener(change);
  }
}

/**
 * Return a function that starts `work` when it is called, but never twice at a time and never sooner than `pause`
 * milliseconds after the last start; calls in between lead to one more start. Nothing happens while the page is hidden.
 *
 * @param {() => Promise<void>} work
 * @param {number} pause
 * @param {AbortSignal} signal ends it
 * @returns {() => void}
 */
export function gently(work, pause, signal) {
  let isWanted = false;
  let isBusy = false;
  let startedAt = -Infinity;
  const turn = async () => {
    if (isBusy || !isWanted || signal.aborted || document.hidden) return;
    isBusy = true;
    const wait = startedAt + pause - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    isWanted = false;
    startedAt = performance.now();
    try {
      if (!signal.aborted) await work();
    } finally {
      isBusy = false;
      turn();
    }
  };
  document.addEventListener("visibilitychange", turn, { signal });
  return () => {
    isWanted = true;
    turn();
  };
}
