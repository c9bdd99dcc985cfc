// The apps and functions that the server knows, fetched once and again when they change.

import { get } from "./api.js";

/**
 * @typedef {{id: string, name: string, url: string, sdk: string, framework: string, appVersion: string | null,
 *   error: string | null, remedy: string | null, syncedAt: string}} App
 * @typedef {{event?: string, cron?: string, expression?: string, jitter?: string}} Trigger
 * @typedef {{id: string, slug: string, name: string, appId: string, version: number, archived: boolean,
 *   paused: string | null, triggers: Trigger[], schedules: {cron: string, next: string[]}[], maxAttempts: number,
 *   config: Record<string, any>}} Fn
 * @typedef {{apps: App[], functions: Fn[]}} Catalog
 */

/** @type {Promise<Catalog> | null} */
let known = null;

/**
 * Return apps and functions.
 *
 * @param {{fresh?: boolean}} [options]
 * @returns {Promise<Catalog>}
 */
export function catalog(options = {}) {
  if (!known || options.fresh) {
    known = load();
    known.catch(() => forget());
  }
  return known;
}

/** Fetch anew when somebody asks next. */
export function forget() {
  known = null;
}

async function load() {
  const [apps, functions] = await Promise.all([get("/v2/apps"), get("/v2/functions")]);
  return { apps, functions };
}

/** @param {Catalog} all @param {string} slug */
export function functionOf(all, slug) {
  return all.functions.find((one) => one.slug === slug || one.id === slug);
}

/** @param {Catalog} all @param {string | null | undefined} id */
export function appOf(all, id) {
  return all.apps.find((one) => one.id === id);
}
