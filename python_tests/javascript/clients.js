// Clients of Socket.IO, told what to do by lines of JSON; prints what happens to them. Called by:
// python_tests/frameworks/test_socketio_manager.py. Ends with its input.
//
//   {"do": "open", "client": 1}   {"do": "emit" | "call", "client": 1, "event": "say", "data": [...]}
"use strict";
const readline = require("node:readline");
const { io } = require("socket.io-client");

const [url, transport] = process.argv.slice(2);
const sockets = new Map();

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");

function open(client) {
  // In Node the client keeps cookies, that of `affinity` among them, if it is told to.
  const socket = io(url, { transports: transport.split(","), withCredentials: true, forceNew: true, reconnection: false });
  sockets.set(client, socket);
  socket.on("connect", async () => {
    const { sid, pid } = await socket.timeout(10000).emitWithAck("who");
    tell({ is_: "open", client, sid, pid });
  });
  socket.on("said", (data) => tell({ is_: "said", client, data }));
  socket.on("question", (data, answer) => answer({ asked: data, by: client }));
  socket.on("disconnect", (why) => tell({ is_: "gone", client, why }));
  socket.on("connect_error", (error) => tell({ is_: "error", client, text: error.message }));
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { do: what, client, event, data } = JSON.parse(line);
  if (what === "open") {
    open(client);
  } else if (what === "emit") {
    sockets.get(client).emit(event, ...data);
  } else {
    tell({ is_: "answer", client, data: await sockets.get(client).timeout(10000).emitWithAck(event, ...data) });
  }
}).on("close", () => {
  sockets.forEach((socket) => socket.close());
  // A poll that is on its way would be waited for.
  process.exit(0);
});
