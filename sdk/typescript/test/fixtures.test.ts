import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decode } from "../src/index.js";

// Every wire message has its fixture beside the Rust types.
const folder = new URL("../../../crates/protocol/fixtures/server/", import.meta.url);
const fromServer = readdirSync(folder).filter((name) => name.endsWith(".json"));

test("there are fixtures of the server's messages", () => {
  expect(fromServer).not.toEqual([]);
});

describe.each(fromServer)("%s", (name) => {
  const text = readFileSync(new URL(name, folder), "utf8");

  test("is understood, unchanged", () => {
    expect(decode(text)).toEqual(JSON.parse(text));
  });

  test("without its data is refused", () => {
    const { data: _, ...rest } = JSON.parse(text);
    expect(() => decode(JSON.stringify(rest))).toThrow(/data must be/);
  });
});
