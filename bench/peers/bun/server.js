// The dialect of the comparison (bench/README.md) on Bun's native publish: /sub/A,B hears topics, whatever /pub/A
// sends goes to a topic, /echo gets back what it sends.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const [, kind, names = ""] = new URL(request.url).pathname.split("/");
    const data = { kind, topics: names.split(",") };
    return server.upgrade(request, { data }) ? undefined : new Response("only WebSockets", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    open(socket) {
      if (socket.data.kind === "sub") for (const topic of socket.data.topics) socket.subscribe(topic);
    },
    message(socket, text) {
      if (socket.data.kind === "pub") server.publish(socket.data.topics[0], text);
      else if (socket.data.kind === "echo") socket.send(text);
    },
  },
});
console.log(`listens on ws://127.0.0.1:${server.port}`);
