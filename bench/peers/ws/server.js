// The dialect of the comparison (bench/README.md) on ws, as its manual broadcasts: /sub/A,B hears topics, whatever
// /pub/A sends goes to a topic, /echo gets back what it sends.
import { WebSocketServer } from "ws";

const readers = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const [, kind, names = ""] = request.url.split("/");
  const topics = names.split(",");
  socket.on("error", () => {});
  if (kind === "sub") {
    for (const topic of topics) {
      if (!readers.has(topic)) readers.set(topic, new Set());
      readers.get(topic).add(socket);
    }
    socket.on("close", () => topics.forEach((topic) => readers.get(topic).delete(socket)));
  } else if (kind === "pub") {
    socket.on("message", (data) => {
      for (const reader of readers.get(topics[0]) ?? []) reader.send(data, { binary: false });
    });
  } else if (kind === "echo") {
    socket.on("message", (data) => socket.send(data, { binary: false }));
  }
});

server.on("listening", () => console.log(`listens on ws://127.0.0.1:${server.address().port}`));
