// The runs that a run invoked, and those that these invoked: loaded when they are unfolded, kept current.

/** @typedef {import("./timeline.js").Trace} Trace */

const UNFOLDED_AT_FIRST = 3;

export class Children {
  /**
   * @param {(id: string) => Promise<Trace>} load
   * @param {() => void} changed is called when there is something new to show
   */
  constructor(load, changed) {
    this._load = load;
    this._changed = changed;
    /** @type {Map<string, Trace>} */
    this._traces = new Map();
    /** @type {Set<string>} */
    this._open = new Set();
    /** @type {Set<string>} */
    this._seen = new Set();
  }

  /** Return the run of an id where it is unfolded and loaded. @param {string} id */
  get(id) {
    return this._open.has(id) ? this._traces.get(id) : undefined;
  }

  /** @param {string} id */
  isOpen(id) {
    return this._open.has(id);
  }

  /** Fold or unfold a run. @param {string} id */
  async toggle(id) {
    if (!this._open.delete(id)) {
      this._open.add(id);
      await this.refresh([id]);
    }
    this._changed();
  }

  /** Unfold what a run invoked, where that is not much and nobody has folded it. @param {Trace} trace */
  unfold(trace) {
    const invoked = trace.steps.flatMap((step) => step.invoked_run_id ?? []);
    const fresh = invoked.filter((id) => !this._seen.has(id));
    for (const id of fresh) this._seen.add(id);
    if (!fresh.length || invoked.length > UNFOLDED_AT_FIRST) return;
    for (const id of fresh) this._open.add(id);
    this.refresh(fresh).then(this._changed, () => {});
  }

  /** Load those of some runs that are unfolded. @param {Iterable<string>} ids */
  async refresh(ids) {
    const wanted = [...ids].filter((id) => this._open.has(id));
    const loaded = await Promise.all(wanted.map((id) => this._load(id)));
    wanted.forEach((id, index) => this._traces.set(id, loaded[index]));
  }

  /** The ids of all runs that are unfolded. */
  get open() {
    return this._open;
  }
}
