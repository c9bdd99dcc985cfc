// Functions of the official TypeScript SDK that the embedded executor runs. The same exist in `../python_app.py`.
import http from "node:http";

import { Inngest, NonRetriableError, RetryAfterError } from "inngest";
import { connect } from "inngest/connect";
import { serve } from "inngest/node";

const client = new Inngest({ id: "peer" });
const functions = [];

function define(id, options, handler) {
  const made = client.createFunction({ id, triggers: [{ event: `peer/${id}` }], ...options }, handler);
  functions.push(made);
  return made;
}

define("steps", {}, async ({ event, step }) => {
  const doubled = await step.run("double", () => event.data.number * 2);
  const increased = await step.run("increase", () => doubled + 1);
  return { doubled, increased, text: "é\u2028ß😀" };
});

define("none", {}, async () => "no steps");

define("repeated", {}, async ({ step }) => {
  const sums = [];
  for (let number = 0; number < 3; number += 1) sums.push(await step.run("same", () => number));
  return sums;
});

define("retried", { retries: 1 }, async ({ step, attempt }) => {
  const first = await step.run("flaky", () => {
    if (attempt === 0) throw new RetryAfterError("not yet", 50);
    return `attempt ${attempt}`;
  });
  return first;
});

define("caught", { retries: 0 }, async ({ step }) => {
  try {
    await step.run("bad", () => {
      throw new Error("no good");
    });
  } catch (error) {
    return `caught: ${error.message}`;
  }
  return "nothing was thrown";
});

define(
  "failed",
  {
    retries: 0,
    onFailure: async ({ event, step }) => {
      await step.sendEvent("tell", {
        name: "peer/heard",
        data: { message: event.data.error.message, original: event.data.event.name },
      });
    },
  },
  async () => {
    throw new Error("boom");
  },
);
define("heard", {}, async ({ event }) => event.data);

define("slept", {}, async ({ step }) => {
  await step.sleep("nap", "1h");
  return "woken";
});

define("waited", {}, async ({ event, step }) => {
  const found = await step.waitForEvent("answer", {
    event: "peer/answer",
    if: "async.data.key == event.data.key",
    timeout: "30s",
  });
  const none = await step.waitForEvent("silence", { event: "peer/never", timeout: "1m" });
  return { found: found.data.value, none };
});

const child = define("child", {}, async ({ event, step }) => {
  const name = await step.run("name", () => event.data.name);
  if (name === "bad") throw new NonRetriableError("bad child");
  return `hello ${name}`;
});

define("invoked", { retries: 0 }, async ({ step }) => {
  const good = await step.invoke("good", { function: child, data: { name: "world" } });
  let bad = "nothing was thrown";
  try {
    await step.invoke("bad", { function: child, data: { name: "bad" } });
  } catch (error) {
    bad = `caught: ${error.message}`;
  }
  return { good, bad };
});

define("parallel", {}, async ({ step }) => {
  const numbers = await Promise.all([1, 2, 3, 4, 5].map((number) => step.run(`square ${number}`, () => number * number)));
  return step.run("sum", () => numbers.reduce((left, right) => left + right, 0));
});

define("branches", {}, async ({ step }) => {
  const branch = async (name) => {
    const first = await step.run(`${name} 1`, () => name);
    return step.run(`${name} 2`, () => `${first}${name}`);
  };
  return Promise.all(["a", "b", "c"].map(branch));
});

define("sent", {}, async ({ step }) => {
  const { ids } = await step.sendEvent("send", [
    { name: "peer/unheard", data: {} },
    { name: "peer/unheard", data: {} },
  ]);
  return ids.length;
});

define("batched", { batchEvents: { maxSize: 3, timeout: "30s" } }, async ({ events }) =>
  events.map((event) => event.data.number).sort(),
);

define("cancelled", { cancelOn: [{ event: "peer/cancel", if: "async.data.key == event.data.key" }] }, async ({ step }) => {
  await step.sleep("long", "1h");
  return "not cancelled";
});

define("large", {}, async ({ step }) => {
  let total = 0;
  for (let number = 0; number < 6; number += 1) {
    const text = await step.run(`large ${number}`, () => "x".repeat(1_000_000));
    total += text.length;
  }
  return total;
});

define("killed", {}, async ({ attempt }) => {
  if (attempt === 0) process.kill(process.pid, "SIGKILL");
  return `attempt ${attempt}`;
});

if (process.argv[2] === "connect") {
  // In this thread: Node 20 has WebSockets behind a flag, which the SDK's worker thread does not inherit.
  await connect({ apps: [{ client, functions }], isolateExecution: false });
} else {
  const host = process.env.HOST ?? "127.0.0.1";
  const port = Number(process.env.PORT ?? "3000");
  http.createServer(serve({ client, functions })).listen(port, host);
}
