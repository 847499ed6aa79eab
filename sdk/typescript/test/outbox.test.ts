import { beforeEach, expect, test } from "vitest";
import { refusal, settle, Stage } from "./fake.js";

const heartRate = { metric: "heart_rate", value: 72, unit: "/min", taken_at: "2026-11-23T07:00:00Z" };
let stage: Stage;

const sent = () => stage.socket.of("health_update");
const acknowledge = (index: number, offset: number) =>
  stage.socket.says(
    "acknowledgment",
    { patient: "patient-1", results: [{ offset }] },
    { correlation_id: sent()[index].correlation_id },
  );

beforeEach(() => {
  stage = new Stage({ outboxCapacity: 20 });
  stage.client.connect();
});

test("what is sent before the connection stands goes out with it, each with its own client id", async () => {
  const acknowledged = stage.client.send([heartRate, { ...heartRate, client_id: "mine" }], "patient-1");
  await settle();
  expect(stage.client.outbox).toEqual({ measurements: 2, capacity: 20, inFlight: 0, waiting: 1 });
  stage.signIn();
  const [command] = sent();
  expect(command).toMatchObject({ patient: "patient-1", batch: [heartRate, { ...heartRate, client_id: "mine" }] });
  expect(command.batch[0].client_id).toBeTypeOf("string");
  acknowledge(0, 8);
  expect(await acknowledged).toEqual({ patient: "patient-1", results: [{ offset: 8 }] });
  expect(stage.client.outbox.measurements).toBe(0);
});

test("what was not acknowledged is sent again after a reconnect, in order, under the same client ids", async () => {
  stage.signIn();
  const all = [1, 2, 3].map((value) => stage.client.send({ ...heartRate, value }));
  await settle();
  const ids = sent().map(({ batch }) => batch[0].client_id);
  expect(new Set(ids).size).toBe(3);
  acknowledge(1, 1);
  stage.reconnect();
  expect(sent().map(({ batch }) => batch[0].client_id)).toEqual([ids[0], ids[2]]);
  acknowledge(0, 2);
  acknowledge(1, 3);
  expect((await Promise.all(all)).map(({ results }) => results[0]?.offset)).toEqual([2, 1, 3]);
});

test("the outbox is bounded and says so", async () => {
  await Promise.race([stage.client.send(Array(20).fill(heartRate)), settle()]);
  await expect(stage.client.send(heartRate)).rejects.toMatchObject({ code: "outbox_full", retry: true });
  expect(stage.client.unacknowledged()).toHaveLength(20);
});

test("only sixteen batches are under way at a time", async () => {
  stage.signIn();
  for (let index = 0; index < 18; index++) void stage.client.send(heartRate);
  await settle();
  expect(stage.client.outbox).toMatchObject({ inFlight: 16, waiting: 2 });
  acknowledge(0, 1);
  expect(sent()).toHaveLength(17);
});

test("a refusal that may pass is tried again, any other one is told to the sender", async () => {
  stage.signIn();
  const result = stage.client.send(heartRate);
  await settle();
  stage.socket.answers("health_update", "error", refusal("storage_unavailable", true));
  stage.time.advance(250);
  expect(sent()).toHaveLength(2);
  stage.socket.answers("health_update", "error", { ...refusal("implausible_value"), field: "value" });
  await expect(result).rejects.toMatchObject({ code: "implausible_value", field: "value", retry: false });
});

test("a batch that the server would not take is refused at once", async () => {
  await expect(stage.client.send([])).rejects.toThrow("0 given");
  await expect(stage.client.send(Array(1001).fill(heartRate))).rejects.toThrow("1001 given");
  await expect(stage.client.send({ ...heartRate, device: "x".repeat(65_536) })).rejects.toThrow("at most 65536");
});

test("closing tells everyone who waits", async () => {
  stage.signIn();
  const result = stage.client.send(heartRate);
  const data = stage.client.getHealthData();
  await settle();
  stage.client.close();
  await expect(result).rejects.toMatchObject({ code: "closed" });
  await expect(data).rejects.toMatchObject({ code: "closed" });
});

test("changes of the outbox can be observed", async () => {
  const seen: number[] = [];
  stage.signIn();
  stage.client.onOutbox(({ measurements }) => seen.push(measurements));
  const result = stage.client.send(heartRate);
  await settle();
  acknowledge(0, 1);
  await result;
  expect(seen).toEqual([1, 0]);
});

test("recorded measurements answer the query that asked for them", async () => {
  stage.signIn();
  const data = stage.client.getHealthData({ patient: "patient-1", limit: 5 });
  expect(stage.socket.of("get_health_data")[0]).toMatchObject({ patient: "patient-1", limit: 5 });
  stage.socket.answers("get_health_data", "health_data_response", { patient: "patient-1", measurements: [] });
  expect(await data).toEqual({ patient: "patient-1", measurements: [] });
  const lost = stage.client.getHealthData();
  stage.socket.closes(1006);
  await expect(lost).rejects.toMatchObject({ code: "disconnected", retry: true });
});
