import { expect, type Page, test } from "@playwright/test";
import { expectAccessible } from "./accessible.js";
import { Server } from "./server.mjs";

let server: Server;

test.beforeEach(async () => {
  server = await Server.start();
});

test.afterEach(() => server.stop());

/** The demo's token of a user. */
async function tokenOf(user: string): Promise<string> {
  const { sign_ins } = await (await fetch(`${server.url}/demo/sign-ins`)).json();
  return sign_ins.find((entry: { user: string }) => entry.user === user).token;
}

/** Changes dan's place in the care team of a patient, as the patient. */
async function ask(method: string, body?: unknown, patient = "demo-ana"): Promise<number> {
  const headers = { Authorization: `Bearer ${await tokenOf(patient)}`, "Content-Type": "application/json" };
  const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
  return (await fetch(`${server.url}/v1/patients/${patient}/care-team/demo-dan`, init)).status;
}

async function doctorsChart(page: Page): Promise<void> {
  await page.goto(server.url);
  await page.getByRole("button", { name: /\(doctor\)/ }).click();
  await expect(page.locator("[data-points]").first()).toBeVisible();
  await expect(page.locator("[data-signal]").first()).toBeVisible({ timeout: 10_000 });
  await expect(page.locator("[data-patient-page]")).toHaveAttribute("data-loaded", "true");
}

/** Ends the grant, and says how many milliseconds later the page was dark. */
async function untilDark(page: Page, end: () => Promise<void>): Promise<number> {
  const dark = page.locator("[data-dark]").waitFor({ timeout: 5_000 }).then(() => performance.now());
  await end();
  const ended = performance.now();
  return (await dark) - ended;
}

/** Nothing of the patient's data is left in the document. */
async function expectNothingLeft(page: Page, sentence: RegExp): Promise<void> {
  await expect(page.locator("[data-points]")).toHaveCount(0);
  await expect(page.locator("canvas")).toHaveCount(0);
  await expect(page.getByRole("alert")).toContainText(sentence);
  const html = await page.locator(".rooms").innerHTML();
  expect(html).not.toMatch(/bpm|mV|data-last-offset|class="value /);
  await expectAccessible(page);
}

test("a doctor's open chart goes dark within a second of the grant's end, and comes back when it is renewed", async ({ page }) => {
  await doctorsChart(page);
  const ms = await untilDark(page, async () => expect(await ask("DELETE")).toBe(204));
  console.log(`dark ${Math.round(ms)} ms after the grant was taken back over REST`);
  expect(ms).toBeLessThan(1_000);
  await expectNothingLeft(page, /not in this patient's care team/);
  expect(await ask("PUT", {})).toBe(200);
  await page.reload();
  await expect(page.locator("[data-points]").first()).toBeVisible();
});

test("a chart goes dark when the command line narrows the grant, and when its time has come", async ({ page }) => {
  await doctorsChart(page);
  const narrowed = await untilDark(page, async () => {
    server.command("care", "add", "demo-ana", "demo-dan", "--scopes", "alerts,chat");
  });
  console.log(`dark ${Math.round(narrowed)} ms after the command line took vitals away`);
  expect(narrowed).toBeLessThan(1_000);
  await expectNothingLeft(page, /does not include vitals/);
  server.command("care", "add", "demo-ana", "demo-dan");
  // The page is opened again without a reload.
  await page.locator("[data-patient=demo-ana]").click();
  await expect(page.locator("[data-points]").first()).toBeVisible();
  const ends = new Date(Date.now() + 2_500);
  server.command("care", "add", "demo-ana", "demo-dan", "--until", ends.toISOString());
  await page.locator("[data-dark]").waitFor({ timeout: 10_000 });
  const late = Date.now() - ends.getTime();
  console.log(`dark ${late} ms after the end of its time`);
  expect(late).toBeLessThan(1_000);
  await expectNothingLeft(page, /has ended/);
});

test("a patient lets somebody in, narrows it and takes it back, on the page", async ({ page }) => {
  await page.goto(server.url);
  await page.getByRole("button", { name: /Eli Stern/ }).click();
  await page.getByText("Care team").click();
  await page.getByLabel("Let in").fill("demo-dan");
  await page.locator("[data-care-team] select").selectOption("specialist");
  await page.getByRole("button", { name: "Let in" }).click();
  const member = page.locator("[data-member=demo-dan]");
  await expect(member).toContainText("Dan Weber");
  await expect(member).toContainText("specialist");
  await expect(member.getByLabel("vitals")).toBeChecked();
  await expect(member.getByLabel("manage")).not.toBeChecked();
  await member.getByLabel("vitals").uncheck();
  await expect(member.getByLabel("vitals")).not.toBeChecked();
  await expectAccessible(page);
  await page.getByLabel("Let in").fill("nobody");
  await page.getByRole("button", { name: "Let in" }).click();
  await expect(page.getByRole("alert")).toContainText("no such user");
  await page.getByRole("button", { name: "Remove Dan Weber" }).click();
  await expect(member).toHaveCount(0);
});

test("who manages cannot give what they do not hold, and the box says so", async ({ page }) => {
  server.command("care", "add", "demo-ana", "demo-dan", "--scopes", "vitals,manage");
  server.command("care", "add", "demo-ana", "demo-nora", "--scopes", "vitals");
  await page.goto(server.url);
  await page.getByRole("button", { name: /\(doctor\)/ }).click();
  await page.getByText("Care team").click();
  const chat = page.locator("[data-member=demo-nora]").getByLabel("chat");
  await chat.click();
  await expect(page.getByRole("alert")).toContainText("you cannot");
  await expect(chat).not.toBeChecked();
});

test("who was let in meanwhile is there when the page is looked at again", async ({ page }) => {
  await doctorsChart(page);
  const eli = page.locator("[data-patient=demo-eli]");
  await expect(eli).toHaveCount(0);
  expect(await ask("PUT", {}, "demo-eli")).toBe(200);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await eli.click();
  await expect(page.getByRole("heading", { name: "Eli Stern" })).toBeVisible();
});

test("who does not manage a care team is not shown it", async ({ page }) => {
  await doctorsChart(page);
  await expect(page.locator("[data-care-team]")).toHaveCount(0);
});
