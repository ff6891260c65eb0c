// Who is there, from states and diffs.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Presence, Socket } from "../dist/hornbeam.js";
import { begin, end, FakeTransport, pass } from "./fakes.mjs";

beforeEach(begin);
afterEach(end);

const entry = (...refs) => ({ metas: refs.map((phx_ref) => ({ phx_ref })) });
const server = () => FakeTransport.current;
const push = (event, payload) => server().receive(null, null, "room:1", event, payload);

function present() {
  const socket = new Socket("ws://127.0.0.1/socket", { transport: FakeTransport });
  const channel = socket.channel("room:1");
  const presence = new Presence(channel);
  const heard = [];
  presence.onJoin((key, before, { metas }) => heard.push(["join", key, before?.metas.length ?? 0, metas.length]));
  presence.onLeave((key, { metas }, change) => heard.push(["leave", key, metas.length, change.metas.length]));
  presence.onSync(() => heard.push("sync"));
  socket.connect();
  server().open();
  channel.join();
  server().reply();
  return { presence, heard };
}

test("state, then diffs: who joined and left, with how many metas", () => {
  const { presence, heard } = present();
  push("presence_state", { ada: entry("1"), bob: entry("2") });
  push("presence_diff", { joins: { ada: entry("3") }, leaves: { bob: entry("2") } });
  push("presence_diff", { joins: {}, leaves: { ada: entry("1"), eve: entry("9") } });
  assert.deepEqual(heard, [
    ["join", "ada", 0, 1], ["join", "bob", 0, 1], "sync",
    ["join", "ada", 1, 1], ["leave", "bob", 0, 1], "sync",
    ["leave", "ada", 1, 1], "sync",
  ]);
  assert.deepEqual(presence.list(), [{ key: "ada", ...entry("3") }]);
  assert.deepEqual(presence.list((key, { metas }) => key + metas[0].phx_ref), ["ada3"]);
});

test("a diff before the state waits for it", () => {
  const { presence, heard } = present();
  push("presence_diff", { joins: { bob: entry("2") }, leaves: {} });
  assert.deepEqual(heard, []);
  push("presence_state", { ada: entry("1") });
  assert.deepEqual(presence.list((key) => key), ["ada", "bob"]);
});

test("the state after a rejoin tells only what differs", () => {
  const { presence, heard } = present();
  push("presence_state", { ada: entry("1", "2"), bob: entry("3") });
  heard.length = 0;
  server().drop();
  pass(1000);
  server().open();
  server().reply();
  push("presence_state", { ada: entry("2", "4"), eve: entry("5") });
  assert.deepEqual(heard, [["join", "ada", 2, 1], ["join", "eve", 0, 1], ["leave", "ada", 2, 1], ["leave", "bob", 0, 1], "sync"]);
  assert.deepEqual(presence.list((key, { metas }) => [key, metas.map((meta) => meta.phx_ref)]), [["ada", ["2", "4"]], ["eve", ["5"]]]);
});

test("a new meta of an update takes the old one's place", () => {
  const state = Presence.syncState(new Map(), { ada: entry("1") });
  const next = Presence.syncDiff(state, { joins: { ada: entry("2") }, leaves: { ada: entry("1") } });
  assert.deepEqual([...next], [["ada", entry("2")]]);
  assert.deepEqual([...state], [["ada", entry("1")]]);
});

test("keys may have any name", () => {
  const state = Presence.syncState(new Map(), JSON.parse('{"__proto__": {"metas": [{"phx_ref": "1"}]}, "constructor": {"metas": [{"phx_ref": "2"}]}}'));
  assert.deepEqual([...state.keys()], ["__proto__", "constructor"]);
});
