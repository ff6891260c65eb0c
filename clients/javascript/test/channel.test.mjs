// Joining, sending and resuming, with a stand-in for WebSocket and timers that the test moves.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { PushError, Socket } from "../dist/hornbeam.js";
import { begin, end, FakeTransport, pass } from "./fakes.mjs";

beforeEach(begin);
afterEach(end);

let socket;
const server = () => FakeTransport.current;
const open = (options = {}) => {
  socket = new Socket("ws://127.0.0.1/socket", { transport: FakeTransport, ...options });
  socket.connect();
  server().open();
};
const joined = (params) => {
  open();
  const channel = socket.channel("room:1", params);
  channel.join();
  server().reply();
  return channel;
};
const answers = (push) => {
  const heard = [];
  for (const status of ["ok", "error", "timeout"]) push.receive(status, (response) => heard.push([status, response]));
  return heard;
};
const reopen = () => {
  pass(1000);
  server().open();
};

test("a join sends its parameters and hears the answer", () => {
  open();
  const channel = socket.channel("room:1", { as: "Ada" });
  const heard = answers(channel.join());
  assert.deepEqual(server().last(), ["1", "1", "room:1", "hb_join", { as: "Ada" }]);
  assert.equal(channel.state, "joining");
  server().reply("ok", { members: 3 });
  assert.equal(channel.state, "joined");
  assert.deepEqual(heard, [["ok", { members: 3 }]]);
  assert.throws(() => channel.join(), /room:1 is joined: it is joined once/);
});

test("a join before the connection is sent when it is there", () => {
  socket = new Socket("ws://127.0.0.1/socket", { transport: FakeTransport });
  const channel = socket.channel("room:1", () => ({ now: 7 }));
  channel.join();
  socket.connect();
  assert.equal(server().sent.length, 0);
  server().open();
  assert.deepEqual(server().last()[4], { now: 7 });
});

test("a refused join says why, and is tried again by the back-off", () => {
  open();
  const channel = socket.channel("room:1");
  const heard = answers(channel.join());
  for (const delay of [1000, 2000, 5000, 10000, 10000]) {
    server().reply("error", { reason: "members only" });
    assert.equal(channel.state, "errored");
    const before = server().sent.length;
    pass(delay - 1);
    assert.equal(server().sent.length, before);
    pass(1);
    assert.equal(server().sent.length, before + 1);
  }
  assert.deepEqual(heard[0], ["error", { reason: "members only" }]);
  channel.leave();
  const before = server().sent.length;
  pass(100000 - 1);
  assert.equal(server().sent.slice(before).filter(([, , , event]) => event === "hb_join").length, 0);
});

test("a join without an answer times out, and is tried again", () => {
  open();
  const heard = answers(socket.channel("room:1").join());
  pass(10000);
  assert.deepEqual(heard, [["timeout", {}]]);
  pass(1000);
  assert.equal(server().sent.length, 2);
  server().reply();
  assert.deepEqual(heard.at(-1), ["ok", {}]);
});

test("a push has its answer, an error, or none in time", () => {
  const channel = joined();
  const heard = ["ok", "error"].map((status) => {
    const heard = answers(channel.push("say", { n: 1 }));
    server().reply(status, { status });
    return heard;
  });
  heard.push(answers(channel.push("say", {}, 50)));
  pass(50);
  assert.deepEqual(heard, [[["ok", { status: "ok" }]], [["error", { status: "error" }]], [["timeout", {}]]]);
  assert.deepEqual(server().last().slice(0, 1).concat(server().last().slice(2)), ["1", "room:1", "say", {}]);
});

test("a callback that comes after the answer is called too", () => {
  const push = joined().push("say");
  server().reply("ok", 5);
  assert.deepEqual(answers(push), [["ok", 5]]);
});

test("a promise of the answer resolves or rejects", async () => {
  const channel = joined();
  const good = channel.push("say").promise();
  server().reply("ok", { n: 1 });
  assert.deepEqual(await good, { n: 1 });
  const bad = channel.push("say");
  server().reply("error", { reason: "no" });
  await assert.rejects(bad.promise(), (error) => error instanceof PushError && error.response.reason === "no");
});

test("pushes wait for the join, in order", () => {
  open();
  const channel = socket.channel("room:1");
  channel.join();
  channel.push("first");
  channel.push("second");
  assert.equal(server().sent.length, 1);
  server().reply();
  assert.deepEqual(server().sent.slice(1).map(([, , , event]) => event), ["first", "second"]);
});

test("a push that waited too long is not sent any more", () => {
  open();
  const channel = socket.channel("room:1");
  channel.join();
  const heard = answers(channel.push("late", {}, 100));
  pass(100);
  server().reply();
  assert.deepEqual(heard, [["timeout", {}]]);
  assert.equal(server().sent.length, 1);
});

test("as many pushes wait as maxBuffered says, one more is an error", () => {
  open({ maxBuffered: 2 });
  const channel = socket.channel("room:1");
  channel.join();
  const heard = [1, 2, 3].map(() => answers(channel.push("say")));
  assert.deepEqual(heard, [[], [], [["error", { reason: "buffer full" }]]]);
});

test("a push to a topic that is not joined is an error", () => {
  open();
  assert.deepEqual(answers(socket.channel("room:1").push("say")), [["error", { reason: "not joined" }]]);
});

test("what cannot be sent is an error of that push", () => {
  const channel = joined();
  assert.match(answers(channel.push("say", 1n))[0][1].reason, /BigInt/);
  assert.equal(answers(channel.push("e".repeat(256), new Uint8Array(1)))[0][0], "error");
  assert.deepEqual(answers(channel.push("e".repeat(255), new Uint8Array(1))), []);
});

test("events reach their callbacks until off", () => {
  const channel = joined();
  const heard = [];
  const first = channel.on("msg", (payload) => heard.push(["first", payload.n]));
  channel.on("msg", (payload) => heard.push(["second", payload.n]));
  const send = (n) => server().receive(null, null, "room:1", "msg", { n });
  send(1);
  channel.off("msg", first);
  send(2);
  channel.off("msg");
  send(3);
  assert.deepEqual(heard, [["first", 1], ["second", 1], ["second", 2]]);
});

test("events of another topic or an earlier join are not heard", () => {
  const channel = joined();
  const heard = [];
  channel.on("msg", (payload) => heard.push(payload));
  server().receive(null, null, "room:2", "msg", 1);
  server().receive("0", null, "room:1", "msg", 2);
  server().receive("1", null, "room:1", "msg", 3);
  assert.deepEqual(heard, [3]);
});

test("a lost connection is an error of the channel, which is joined again", () => {
  const channel = joined();
  const errors = [];
  channel.onError((error) => errors.push(error));
  const heard = answers(channel.push("say"));
  server().drop();
  assert.deepEqual(errors, [{ reason: "disconnected" }]);
  assert.deepEqual(heard, [["error", { reason: "disconnected" }]]);
  channel.push("meanwhile");
  reopen();
  assert.equal(server().last()[3], "hb_join");
  server().reply();
  assert.equal(channel.state, "joined");
  assert.equal(server().last()[3], "meanwhile");
});

test("after hb_error or phx_error the topic is joined again by the back-off", () => {
  for (const event of ["hb_error", "phx_error"]) {
    const channel = joined();
    const heard = answers(channel.push("say"));
    server().receive("1", null, "room:1", event, {});
    assert.equal(channel.state, "errored");
    assert.deepEqual(heard, [["error", { reason: "broken off" }]]);
    const before = server().sent.length;
    pass(1000);
    assert.equal(server().sent.length, before + 1);
    server().reply();
    assert.equal(channel.state, "joined");
  }
});

test("hb_close ends the channel", () => {
  const channel = joined();
  const closed = [];
  channel.onClose((why) => closed.push(why));
  server().receive("1", null, "room:1", "hb_close", { reason: "stop" });
  assert.deepEqual(closed, [{ reason: "stop" }]);
  assert.equal(channel.state, "closed");
  server().drop();
  reopen();
  assert.equal(server().sent.length, 0);
});

test("leave is answered, and the topic is not joined again until join", () => {
  const channel = joined();
  const closed = [];
  channel.onClose((why) => closed.push(why));
  const heard = answers(channel.leave());
  assert.deepEqual(server().last().slice(2), ["room:1", "hb_leave", {}]);
  assert.equal(channel.state, "leaving");
  server().reply();
  assert.deepEqual([heard, closed, channel.state], [[["ok", {}]], ["leave"], "closed"]);
  channel.join();
  assert.equal(server().last()[3], "hb_join");
});

test("leave without a connection is done at once", () => {
  const channel = joined();
  server().drop();
  assert.deepEqual(answers(channel.leave()), [["ok", {}]]);
  reopen();
  assert.equal(server().sent.length, 0);
});

test("the last id goes into the next join", () => {
  const channel = joined({ as: "Ada" });
  server().receive(null, "#Mfoo-16", "room:1", "msg", {});
  server().receive(null, "#Mfoo-17", "room:1", "msg", {});
  server().receive(null, null, "room:1", "msg", {});
  assert.equal(channel.lastId, "Mfoo-17");
  server().drop();
  reopen();
  assert.deepEqual(server().last()[4], { as: "Ada", hb_last_id: "Mfoo-17" });
});

test("what was missed for good is told", () => {
  const channel = joined();
  const missed = [];
  channel.onMissed((what) => missed.push(what));
  server().receive("1", null, "room:1", "hb_missed", { last_id: "M-1" });
  assert.deepEqual(missed, [{ last_id: "M-1" }]);
});

test("a binary push, push from the server, reply and broadcast", () => {
  const channel = joined();
  const heard = [];
  channel.on("cat", (bytes) => heard.push([...bytes]));
  const answered = answers(channel.push("cat", new Uint8Array([0, 9, 8, 0]).subarray(1, 3)));
  const text = (string) => [...Buffer.from(string)];
  assert.deepEqual([...server().last()], [0, 1, 1, 6, 3, ...text("12room:1cat"), 9, 8]);
  server().bytes(1, 1, 1, 6, 2, ...text("12room:1ok"), 7);
  assert.deepEqual([...answered[0][1]], [7]);
  server().bytes(0, 1, 6, 3, ...text("1room:1cat"), 1, 2);
  server().bytes(2, 6, 3, ...text("room:1cat"));
  assert.deepEqual(heard, [[1, 2], []]);
  channel.push("cat", new Uint8Array([5]).buffer);
  assert.equal(server().last().at(-1), 5);
});

test("a binary message of another kind is an error of the socket", () => {
  joined();
  const errors = [];
  socket.onError((error) => errors.push(error.message));
  server().bytes(3, 1);
  assert.deepEqual(errors, ["unknown kind of binary message: 3"]);
});

test("a callback that throws keeps no other from running", () => {
  const channel = joined();
  const heard = [];
  const later = mock.method(globalThis, "queueMicrotask", () => {});
  channel.on("msg", () => { throw new Error("mine"); });
  channel.on("msg", (payload) => heard.push(payload));
  server().receive(null, null, "room:1", "msg", 1);
  assert.deepEqual(heard, [1]);
  assert.throws(later.mock.calls[0].arguments[0], /mine/); // as an uncaught error
});
