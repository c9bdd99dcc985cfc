// Durable endpoints of the official TypeScript SDK, whose runs the embedded executor goes on with.
import http from "node:http";

import { Inngest, step } from "inngest";
import { endpointAdapter } from "inngest/edge";
import { stream } from "inngest/experimental/durable-endpoints";

const client = new Inngest({ id: "peer-endpoints", endpointAdapter });
const executed = [];

function note(value) {
  executed.push(value);
  return value;
}

const routes = {
  "/direct": client.endpoint(async (request) => {
    const first = await step.run("first", () => note(1));
    const second = await step.run("second", () => note(first + 1));
    const query = new URL(request.url).searchParams.get("q");
    return Response.json({ second, query }, { status: 201, headers: { "x-mine": "yes" } });
  }),
  "/parallel": client.endpoint(async () => {
    const numbers = await Promise.all([1, 2, 3].map((n) => step.run(`square ${n}`, () => note(n * n))));
    return Response.json(await step.run("sum", () => note(numbers.reduce((left, right) => left + right, 0))));
  }),
  "/flaky": client.endpoint(async () => {
    const tries = await step.run("flaky", () => {
      note("try");
      if (executed.length === 1) throw new Error("not yet");
      return executed.length;
    });
    return Response.json(tries);
  }),
  "/slept": client.endpoint(async (request) => {
    // Not of the body: the SDK reads that itself.
    const name = new URL(request.url).searchParams.get("name");
    await step.sleep("nap", "10m");
    return Response.json(await step.run("greet", () => note(`hello ${name}`)));
  }),
  "/told": client.endpoint(async () => {
    const tell = (name) => () => {
      stream.push(`${name} ${executed.filter((one) => one === name).length + 1}`);
      note(name);
      if (name === "second" && executed.length === 2) throw new Error("not yet");
      return name;
    };
    await step.run("first", tell("first"));
    await step.sleep("nap", "10m");
    return Response.json(await step.run("second", tell("second")));
  }),
};

async function read(message) {
  const chunks = [];
  for await (const chunk of message) chunks.push(chunk);
  return chunks.length ? Buffer.concat(chunks) : undefined;
}

const host = `${process.env.HOST}:${process.env.PORT}`;
const server = http.createServer(async (message, answer) => {
  if (message.url === "/executed") {
    answer.end(JSON.stringify(executed.splice(0)));
    return;
  }
  const url = new URL(message.url, `http://${host}`);
  const request = new Request(url, { method: message.method, headers: message.headers, body: await read(message) });
  const response = await routes[url.pathname](request);
  answer.writeHead(response.status, Object.fromEntries(response.headers));
  answer.end(Buffer.from(await response.arrayBuffer()));
});
server.listen(Number(process.env.PORT), process.env.HOST);
