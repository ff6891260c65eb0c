// Runs what a test sends, one line of JSON each: {"body", "args"} of an async function, which has `state` from one to the next.
// Started by javascript_places.py with the addresses of the client's module and of the package ws.
import { createInterface } from "node:readline";

const [client, ws] = process.argv.slice(2);
const state = { lib: await import(client), WebSocket: (await import(ws)).default };
const AsyncFunction = (async () => {}).constructor;
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

for await (const line of createInterface({ input: process.stdin })) {
  const { body, args } = JSON.parse(line);
  try {
    say({ value: (await new AsyncFunction("state", "args", body)(state, args)) ?? null });
  } catch (error) {
    say({ error: String(error.stack ?? error) });
  }
}
process.exit();
