import { expect, type Page, test } from "@playwright/test";
import { expectAccessible } from "./accessible.js";
import { Server } from "./server.mjs";

let server: Server;

test.beforeEach(async () => {
  server = await Server.start();
});

test.afterEach(() => server.stop());

/** Asks as a user of the demo, beside the app. */
async function ask(user: string, method: string, path: string, body?: unknown): Promise<number> {
  const { sign_ins } = await (await fetch(`${server.url}/demo/sign-ins`)).json();
  const { token } = sign_ins.find((entry: { user: string }) => entry.user === user);
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
  return (await fetch(`${server.url}${path}`, init)).status;
}

async function signIn(page: Page, person: RegExp): Promise<void> {
  await page.goto(server.url);
  await page.getByRole("button", { name: person }).first().click();
  await expect(page.locator("[data-patient-page]")).toBeVisible();
}

const summary = (page: Page) => page.locator("[data-access-log] summary");
const lines = (page: Page) => page.locator("[data-access]");

test("a nurse opens the chart, and the patient sees who, as what, what and when", async ({ page, browser }) => {
  const nurse = await (await browser.newContext()).newPage();
  const before = Date.now();
  await signIn(nurse, /\(nurse\)/);
  await expect(nurse.locator("[data-points]").first()).toBeVisible();
  expect(await ask("demo-carl", "GET", "/v1/patients/demo-ana/measurements")).toBe(403);
  await signIn(page, /Ana Ruiz/);
  await summary(page).click();
  const opened = lines(page).filter({ hasText: "Nora Lind (demo-nora, nurse) opened the live measurements" }).first();
  await expect(opened).toHaveAttribute("data-outcome", "success");
  const at = Date.parse((await opened.locator("time").getAttribute("datetime"))!);
  expect(at).toBeGreaterThanOrEqual(before);
  expect(at).toBeLessThanOrEqual(Date.now());
  await expect(lines(page).filter({ hasText: "Nora Lind" }).filter({ hasText: "read measurements" }).first()).toBeVisible();
  const refused = lines(page).filter({ hasText: "Carl Okafor" });
  await expect(refused).toContainText("wanted to read measurements");
  await expect(refused).toContainText("Refused: not in the care team");
  await expect(lines(page).filter({ hasText: "You (demo-ana, patient)" }).first()).toBeVisible();
  await expectAccessible(page);
  await page.getByLabel("Leave out what I did").check();
  await expect(lines(page).filter({ hasText: "You" })).toHaveCount(0);
  await expect(opened).toBeVisible();
  // The nurse does not manage the care team.
  await expect(nurse.locator("[data-access-log]")).toHaveCount(0);
});

test("what was done in an emergency is marked", async ({ page }) => {
  const emergency = { reason: "found unconscious at home", duration_minutes: 5 };
  expect(await ask("demo-dan", "POST", "/v1/patients/demo-eli/break-glass", emergency)).toBe(201);
  expect(await ask("demo-dan", "GET", "/v1/patients/demo-eli/measurements")).toBe(200);
  await signIn(page, /Eli Stern/);
  await summary(page).click();
  const marked = lines(page).filter({ hasText: "Emergency access" });
  await expect(marked).toHaveCount(2);
  await expect(marked.first()).toContainText("Dan Weber (demo-dan, doctor) read measurements");
  await expect(marked.last()).toContainText("Dan Weber (demo-dan, doctor) opened this data in an emergency");
  await expectAccessible(page);
});

test("older lines come by keyboard, and a cut leaves what is there, with a sentence", async ({ page }) => {
  expect(await ask("demo-nora", "GET", "/v1/patients/demo-ben/measurements?metric=glucose")).toBe(200);
  for (let read = 0; read < 55; read++) {
    expect(await ask("demo-carl", "GET", "/v1/patients/demo-ben/presence")).toBe(200);
  }
  await signIn(page, /Ben Okafor \(patient\)/);
  await summary(page).focus();
  await page.keyboard.press("Enter");
  await expect(lines(page)).toHaveCount(50);
  const first = lines(page).filter({ hasText: "Nora Lind (demo-nora, nurse) read glucose" });
  await expect(first).toHaveCount(0);
  await page.getByRole("button", { name: "Show older" }).press("Enter");
  await expect(first).toBeVisible();
  await expect(lines(page).nth(50)).toBeFocused();
  await expect(page.getByRole("button", { name: "Show older" })).toHaveCount(0);
  const shown = await lines(page).count();
  await server.kill();
  await page.getByRole("button", { name: "Look again" }).click();
  await expect(page.locator("[data-access-log]").getByRole("alert")).toContainText("the server cannot be reached");
  await expect(lines(page)).toHaveCount(shown);
  await expectAccessible(page);
});

test("who manages the care team sees it too, and nothing of it once that is over", async ({ page }) => {
  const member = "/v1/patients/demo-ana/care-team/demo-dan";
  expect(await ask("demo-ana", "PUT", member, { relation: "specialist", scopes: ["vitals", "manage"] })).toBe(200);
  await signIn(page, /\(doctor\)/);
  await summary(page).click();
  await expect(lines(page).filter({ hasText: "Ana Ruiz (demo-ana, patient) set the access of Dan Weber" })).toBeVisible();
  await expect(page.locator("[data-care-team]")).toBeVisible();
  expect(await ask("demo-ana", "DELETE", member)).toBe(204);
  await expect(page.locator("[data-dark]")).toBeVisible({ timeout: 2_000 });
  await expect(page.locator("[data-access-log]")).toHaveCount(0);
  await expect(page.locator("[data-care-team]")).toHaveCount(0);
  expect(await ask("demo-ana", "PUT", member, { scopes: ["vitals", "manage"] })).toBe(200);
  await page.locator("[data-patient=demo-ana]").click();
  await expect(page.locator("[data-points]").first()).toBeVisible();
  await expect(page.locator("[data-access-log]")).toBeVisible();
});

test("an administrator sees who saw a patient's data, and none of the data", async ({ page }) => {
  expect(await ask("demo-nora", "GET", "/v1/patients/demo-ana/measurements")).toBe(200);
  await page.goto(server.url);
  await page.getByRole("button", { name: /\(admin\)/ }).click();
  await page.getByLabel("Patient's id").fill("demo-ana");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(lines(page).filter({ hasText: "Nora Lind (demo-nora, nurse) read measurements" })).toBeVisible();
  await expectAccessible(page);
  await page.getByLabel("Patient's id").fill("no id");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(lines(page)).toHaveCount(0);
  await expect(page.locator("[data-points]")).toHaveCount(0);
});
