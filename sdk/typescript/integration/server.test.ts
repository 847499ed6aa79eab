import { afterEach, beforeEach, expect, test } from "vitest";
import { Server } from "../../../web/e2e/server.mjs";
import { HealthMateClient, type HealthUpdate, type HealthWaveform, type PresenceUpdate, type WebSocketClass } from "../src/index.js";
import { Network } from "./cut.js";

/** A patient of the demo to whom nothing happens by itself. */
const TOPIC = "health:demo-eli";

let server: Server;
let network: Network;
let clients: HealthMateClient[];
/** The types of all that was sent through the network that can be cut. */
let commands: string[];

/** Counts what the client says. */
class Overheard extends WebSocket {
  override send(data: string): void {
    commands.push(JSON.parse(data).type);
    super.send(data);
  }
}

async function signedIn(user: string, url = server.url, WebSocket?: WebSocketClass): Promise<HealthMateClient> {
  const { sign_ins } = await (await fetch(`${server.url}/demo/sign-ins`)).json();
  const { token } = sign_ins.find((one: { user: string }) => one.user === user);
  // Back after 125 ms at least: the server has noticed by then that the connection is gone.
  const random = () => (1 + Math.random()) / 2;
  const client = new HealthMateClient({ url, token, random, ...(WebSocket && { WebSocket }) });
  clients.push(client);
  client.connect();
  await until((again) => client.onStatus(again), () => client.status.state === "authenticated");
  return client;
}

/** Resolves once the connection was lost and stands again. */
async function comesBack(client: HealthMateClient): Promise<void> {
  for (const state of ["reconnecting", "authenticated"]) {
    await until((again) => client.onStatus(again), () => client.status.state === state);
  }
}

/** Resolves once `met`, looking each time that something happened. */
function until(observe: (again: () => void) => () => void, met: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    let stop = () => {};
    const look = () => {
      if (!met()) return;
      stop();
      resolve();
    };
    stop = observe(look);
    look();
  });
}

/** What a topic brought, and who waits for more. */
class Heard<Item> {
  readonly items: Item[] = [];
  readonly #listeners = new Set<() => void>();

  add = (item: Item): void => {
    this.items.push(item);
    for (const listener of [...this.#listeners]) listener();
  };

  reach(count: number): Promise<void> {
    return until(
      (again) => {
        this.#listeners.add(again);
        return () => this.#listeners.delete(again);
      },
      () => this.items.length >= count,
    );
  }
}

const reading = (value: number, metric = "heart_rate", unit = "/min") => ({
  metric,
  value,
  unit,
  taken_at: new Date().toISOString(),
});

/** Subscribes and waits until the server has taken it. */
function watching(client: HealthMateClient, heard: Heard<number>, options = {}): Promise<void> {
  return new Promise((resolve) => {
    const event = ({ data }: HealthUpdate) => heard.add(data.value);
    client.subscribe(TOPIC, { event, subscribed: () => resolve() }, options);
  });
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

beforeEach(async () => {
  clients = [];
  commands = [];
  server = await Server.start();
  network = await Network.to(server.url);
});

afterEach(async () => {
  for (const client of clients) client.close();
  network.close();
  await server.stop();
});

test("cut again and again, a watcher goes on in its session, complete and in order", async () => {
  const watcher = await signedIn("demo-eli", network.url, Overheard as WebSocketClass);
  const sender = await signedIn("demo-eli");
  const heard = new Heard<number>();
  await watching(watcher, heard);
  const session = watcher.user?.session_id;
  let sent = 30;
  for (let cuts = 0; cuts < 5; cuts++) {
    const next = numbers(sent + 1, sent + 20);
    const sending = next.map((value) => sender.send(reading(value)));
    await heard.reach(cuts * 20 + 3);
    const back = comesBack(watcher);
    network.cut();
    await Promise.all([...sending, back]);
    sent += 20;
    await heard.reach(sent - 30);
    expect(watcher.user).toMatchObject({ session_id: session, resumed: true });
  }
  expect(heard.items).toEqual(numbers(31, sent));
  expect(commands.filter((type) => type === "subscribe")).toHaveLength(1);
});

test("a server that was killed has no session any more, and nothing is lost or comes twice", async () => {
  const watcher = await signedIn("demo-eli", server.url, Overheard as WebSocketClass);
  const heard = new Heard<number>();
  await watching(watcher, heard);
  const first = numbers(31, 50).map((value) => watcher.send(reading(value)));
  await heard.reach(5);
  await server.killAndRestart();
  const second = numbers(51, 70).map((value) => watcher.send(reading(value)));
  await Promise.all([...first, ...second]);
  await heard.reach(40);
  expect(watcher.user?.resumed).toBe(false);
  expect([...heard.items].sort((a, b) => a - b)).toEqual(numbers(31, 70));
  expect(commands.filter((type) => type === "subscribe")).toHaveLength(2);
});

test("latest begins with the newest value of each metric", async () => {
  const sender = await signedIn("demo-eli");
  await sender.send([reading(61), reading(62), reading(63)]);
  await sender.send(reading(71, "body_weight", "kg"));
  const heard = new Heard<number>();
  await watching(await signedIn("demo-eli"), heard, { delivery: "latest" });
  await heard.reach(2);
  await sender.send(reading(64));
  await heard.reach(3);
  expect([...heard.items.slice(0, 2)].sort()).toEqual([63, 71]);
  expect(heard.items[2]).toBe(64);
});

test("what the handler fails to handle comes again, and what it handled does not, also over a cut", async () => {
  const watcher = await signedIn("demo-eli", network.url);
  const sender = await signedIn("demo-eli");
  const problems = new Heard<unknown>();
  watcher.onProblem(problems.add);
  const begun = new Heard<number>();
  const handled = new Heard<number>();
  let broken = true;
  const event = async ({ data }: HealthUpdate) => {
    begun.add(data.value);
    if (data.value === 62 && broken) throw new Error("the disk is full");
    handled.add(data.value);
  };
  await new Promise<void>((subscribed) => watcher.subscribe(TOPIC, { event, subscribed: () => subscribed() }, { acknowledge: true }));
  await sender.send([reading(61), reading(62), reading(63)]);
  await problems.reach(1);
  expect(handled.items).toEqual([61]);
  broken = false;
  await handled.reach(3);
  network.cut();
  await sender.send(reading(64));
  await handled.reach(4);
  expect(handled.items).toEqual([61, 62, 63, 64]);
  expect(begun.items).toEqual([61, 62, 62, 63, 64]);
});

test("a strip reaches those who asked for it, and nobody keeps it", async () => {
  const sender = await signedIn("demo-eli");
  const watcher = await signedIn("demo-eli");
  const strips = new Heard<HealthWaveform>();
  const deaf = new Heard<unknown>();
  const listen = (client: HealthMateClient, heard: Heard<any>, options = {}) =>
    new Promise<void>((subscribed) =>
      client.subscribe(TOPIC, { event: () => {}, waveform: heard.add, subscribed: () => subscribed() }, options),
    );
  await listen(watcher, strips, { include: ["waveform"] });
  await listen(sender, deaf);
  const strip = {
    waveform: "ecg_lead_ii",
    unit: "mV",
    started_at: new Date().toISOString(),
    sample_rate_hz: 250,
    samples: [0, 0.1, 1.05, null, -0.2],
  };
  expect(sender.sendWaveform({ ...strip, sequence: 1 })).toBe(true);
  expect(sender.sendWaveform({ ...strip, sequence: 2 })).toBe(true);
  await strips.reach(2);
  expect(strips.items.map(({ topic, data }) => [topic, data.sequence, data.samples])).toEqual([
    [TOPIC, 1, strip.samples],
    [TOPIC, 2, strip.samples],
  ]);
  const problems = new Heard<unknown>();
  sender.onProblem(problems.add);
  sender.sendWaveform({ ...strip, waveform: "brain_waves" });
  await problems.reach(1);
  expect(problems.items).toMatchObject([{ code: "unknown_waveform" }]);
  expect(deaf.items).toEqual([]);
});

test("who watches is told at once, and who left after a grace", async () => {
  const nora = await signedIn("demo-nora");
  const changes = new Heard<string>();
  const presence = ({ data }: PresenceUpdate) => {
    // Whoever listens may hear of their own coming, too.
    if (data.user_id !== "demo-nora") changes.add(`${data.user_id} ${data.presence}`);
  };
  const topic = "health:demo-ana";
  await new Promise<void>((subscribed) =>
    nora.subscribe(topic, { event: () => {}, presence, subscribed: () => subscribed() }, { include: ["presence"] }),
  );
  const watching = async () => (await nora.presence(topic)).filter((user) => user.watching).map((user) => user.user_id);
  expect(await watching()).toEqual(["demo-nora"]);
  const dan = await signedIn("demo-dan");
  dan.subscribe(topic, { event: () => {} });
  await changes.reach(1);
  expect(await watching()).toEqual(["demo-dan", "demo-nora"]);
  dan.close();
  await changes.reach(2);
  expect(changes.items).toEqual(["demo-dan joined", "demo-dan left"]);
  await expect(nora.presence("health:demo-eli")).rejects.toMatchObject({ code: "access_denied" });
});
