import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ClientCommand, decode } from "../src/index.js";

// Every wire message has its fixture beside the Rust types.
const folder = new URL("../../../crates/protocol/fixtures/", import.meta.url);
const namesIn = (side: string) => readdirSync(new URL(side, folder)).filter((name) => name.endsWith(".json"));
const read = (side: string, name: string) => readFileSync(new URL(side + name, folder), "utf8");
const fromServer = namesIn("server/");
// Aliases are what the server understands beyond what this client says.
const fromClient = namesIn("client/").filter((name) => !name.endsWith("-alias.json"));

type Fields<Command> = Command extends unknown ? keyof Command : never;
type FieldsOf<Type> = Fields<Extract<ClientCommand, { type: Type }>>[];

const COMMANDS: { [Type in ClientCommand["type"]]: FieldsOf<Type> } = {
  authenticate: ["type", "correlation_id", "token", "session_id", "offsets"],
  subscribe: ["type", "correlation_id", "topic", "since", "delivery", "include", "acknowledge"],
  unsubscribe: ["type", "correlation_id", "topic"],
  ping: ["type", "correlation_id"],
  health_update: ["type", "correlation_id", "patient", "data", "batch"],
  get_health_data: ["type", "correlation_id", "patient", "metric", "from", "to", "limit", "cursor"],
  acknowledge: ["type", "correlation_id", "topic", "offset"],
  health_waveform: ["type", "correlation_id", "patient", "data"],
  get_presence: ["type", "correlation_id", "topic"],
};

test("there are fixtures of every command and of every kind of message", () => {
  const types = (side: string, names: string[]) => new Set(names.map((name) => JSON.parse(read(side, name)).type));
  expect([...types("client/", fromClient)].sort()).toEqual(Object.keys(COMMANDS).sort());
  expect(types("server/", fromServer).size).toBe(19);
});

test.each(fromClient)("the command %s is one that this client has words for", (name) => {
  const command = JSON.parse(read("client/", name)) as ClientCommand;
  expect(COMMANDS[command.type]).toEqual(expect.arrayContaining(Object.keys(command)));
});

describe.each(fromServer)("the message %s", (name) => {
  const text = read("server/", name);

  test("is understood, unchanged", () => {
    expect(decode(text)).toEqual(JSON.parse(text));
  });

  test("without its data is refused", () => {
    const { data: _, ...rest } = JSON.parse(text);
    expect(() => decode(JSON.stringify(rest))).toThrow(/data must be/);
  });
});
