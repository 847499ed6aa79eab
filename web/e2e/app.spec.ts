import { expect, type Page, test } from "@playwright/test";
import { expectAccessible } from "./accessible.js";
import { Server } from "./server.mjs";

let server: Server;

test.beforeEach(async () => {
  server = await Server.start();
});

test.afterEach(() => server.stop());

async function signIn(page: Page, role: RegExp): Promise<void> {
  await page.goto(server.url);
  await page.getByRole("button", { name: role }).first().click();
}

const chart = (page: Page) => page.locator("[data-points]").first();

async function number(page: Page, selector: string, attribute: string): Promise<number> {
  return Number(await page.locator(selector).first().getAttribute(attribute));
}

/** How many pixels of the first signal are drawn. */
async function inked(page: Page): Promise<number> {
  return page.locator("[data-signal] canvas").first().evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((alpha, index) => index % 4 === 3 && alpha > 0).length;
  });
}

test("the demo nurse sees a chart moving within five seconds", async ({ page }) => {
  await signIn(page, /\(nurse\)/);
  const deadline = { timeout: 5_000 };
  await expect(chart(page)).toBeVisible(deadline);
  // All of time, so that points leaving the window do not hide those that come.
  await page.getByRole("button", { name: "All", exact: true }).click();
  const before = await number(page, "[data-points]", "data-points");
  await expect.poll(() => number(page, "[data-points]", "data-points"), deadline).toBeGreaterThan(before);
  await expect(page.locator("[data-state]")).toHaveAttribute("data-state", "authenticated");
});

test("after the server was killed and is back, the page is complete by itself", async ({ page }) => {
  const last = () => number(page, "[data-patient-page]", "data-last-offset");
  await signIn(page, /\(nurse\)/);
  await expect.poll(last, { timeout: 10_000 }).toBeGreaterThan(0);
  await expect(page.locator("[data-patient-page]")).toHaveAttribute("data-loaded", "true");
  await server.kill();
  await expect(page.locator("[data-state]")).toHaveAttribute("data-state", "reconnecting");
  await expectAccessible(page);
  const before = await last();
  const first = await number(page, "[data-patient-page]", "data-first-offset");
  await server.run(new URL(server.url).host);
  await expect(page.locator("[data-state]")).toHaveAttribute("data-state", "authenticated", { timeout: 35_000 });
  await expect.poll(last, { timeout: 15_000 }).toBeGreaterThan(before);
  expect(await number(page, "[data-patient-page]", "data-first-offset")).toBe(first);
  expect(await number(page, "[data-patient-page]", "data-missing")).toBe(0);
});

test("the ECG of the demo runs, stops with the server, and runs again", async ({ page }) => {
  const ecg = page.locator("[data-signal=ecg_lead_ii]");
  const heardAt = () => number(page, "[data-signal=ecg_lead_ii]", "data-heard-at");
  await signIn(page, /\(nurse\)/);
  await expect(ecg).toHaveAttribute("data-live", "true", { timeout: 10_000 });
  await expect(ecg.getByRole("img", { name: /^ECG, lead II, the newest 6 seconds, in mV$/ })).toBeVisible();
  const before = await heardAt();
  await expect.poll(heardAt).toBeGreaterThan(before);
  expect(await inked(page)).toBeGreaterThan(0);
  await server.kill();
  await expect(ecg).toContainText("No signal for");
  await expectAccessible(page);
  await server.run(new URL(server.url).host);
  await expect(ecg).toHaveAttribute("data-live", "true", { timeout: 35_000 });
  // Nobody sends one of the others.
  await page.getByRole("button", { name: /Ben Okafor/ }).click();
  await expect(page.getByRole("heading", { name: "Ben Okafor" })).toBeVisible();
  await expect(page.locator("[data-signal]")).toHaveCount(0);
});

test("who else is watching is shown as they come and go", async ({ page, browser }) => {
  const watchers = page.locator("[data-watchers]");
  await signIn(page, /\(nurse\)/);
  await expect(page.getByRole("heading", { name: "Ana Ruiz" })).toBeVisible();
  await expect(watchers).toHaveCount(0);
  const other = await browser.newContext();
  await signIn(await other.newPage(), /\(doctor\)/);
  await expect(watchers).toHaveText("Also watching: demo-dan (doctor)");
  await expectAccessible(page);
  await other.close();
  // The server waits a while before it believes that somebody is gone.
  await expect(watchers).toHaveCount(0, { timeout: 20_000 });
});

test("a patient who has not let the nurse in is not listed", async ({ page }) => {
  const listed = page.locator("[data-patient]");
  await page.goto(server.url);
  const foreign = page.getByRole("button", { name: /Eli Stern/ });
  await expect(foreign).toBeVisible();
  await signIn(page, /\(nurse\)/);
  await expect(listed).toHaveCount(3);
  await expect(page.getByText("Eli Stern")).toHaveCount(0);
  await page.getByRole("button", { name: "Sign out" }).click();
  await foreign.click();
  await expect(listed).toHaveCount(1);
  await expect(page.getByRole("heading", { name: "Eli Stern" })).toBeVisible();
  await expect(page.locator("[data-patient-page]")).toContainText("No measurements yet");
  await expectAccessible(page);
});

test("a doctor opens a patient in an emergency, the patient is told, and the chart goes when it is ended", async ({ page, browser }) => {
  const patient = await (await browser.newContext()).newPage();
  await signIn(patient, /Eli Stern/);
  const bell = patient.getByRole("button", { name: /^Notifications/ });
  await expect(patient.locator("[data-unseen]")).toHaveAttribute("data-unseen", "0");
  await signIn(page, /\(doctor\)/);
  await expect(page.locator("[data-patient]").first()).toBeVisible();
  await expect(page.getByText("Eli Stern")).toHaveCount(0);
  await page.getByRole("button", { name: "Open in an emergency" }).click();
  await expect(page.getByRole("dialog")).toContainText("The patient and the privacy officers are told at once");
  await expectAccessible(page);
  await page.getByLabel("Patient's id").fill("nobody");
  await page.getByLabel(/^Reason/).fill("found unconscious at home");
  await page.getByRole("button", { name: "Open now" }).click();
  await expect(page.getByRole("alert")).toContainText("no such patient");
  await page.getByLabel("Patient's id").fill("demo-eli");
  await page.getByRole("button", { name: "Open now" }).click();
  await expect(page.getByRole("heading", { name: "Eli Stern" })).toBeVisible();
  await expect(page.locator("[data-emergency]")).toContainText("It ends in 60 min");
  await expectAccessible(page);
  await expect(patient.locator("[data-unseen]")).toHaveAttribute("data-unseen", "1");
  await bell.click();
  const notice = patient.locator("[data-notification]");
  await expect(notice).toContainText("Your data was opened in an emergency");
  await expect(notice).toContainText("found unconscious at home");
  await expectAccessible(patient);
  await notice.getByRole("button", { name: /^Mark as seen/ }).click();
  await expect(patient.locator("[data-unseen]")).toHaveAttribute("data-unseen", "0");
  await page.getByRole("button", { name: "End now" }).click();
  await expect(page.getByText("your emergency access to this patient has ended")).toBeVisible({ timeout: 2_000 });
  await expect(page.locator("[data-emergency]")).toHaveCount(0);
  await expect(page.locator("[data-points]")).toHaveCount(0);
  await expectAccessible(page);
});

test("whoever may see nobody is told so", async ({ page }) => {
  await signIn(page, /\(admin\)/);
  await expect(page.getByRole("main")).toContainText("No patient has let you in yet");
  await expectAccessible(page);
});

test("a refused token ends on the sign-in screen with the reason", async ({ page }) => {
  await page.goto(server.url);
  await page.getByText("Sign in with a token").click();
  await page.getByLabel("Token").fill("not-a-token");
  await page.getByRole("button", { name: "Use it", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("Signed out:");
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  await expectAccessible(page);
});

test("a password signs in, outlives a reload, and a sign-out elsewhere ends it at once", async ({ page, request }) => {
  const password = "correct horse battery";
  await server.setPassword("demo-nora", password);
  const form = async (typed: string) => {
    await page.getByLabel("User").fill("demo-nora");
    await page.getByLabel("Password").fill(typed);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  await page.goto(server.url);
  await form("wrong password");
  await expect(page.getByRole("alert")).toContainText("Not signed in");
  await expectAccessible(page);
  await form(password);
  await expect(chart(page)).toBeVisible();
  await page.reload();
  await expect(chart(page)).toBeVisible();
  // Neither the password nor an access token is kept, and nothing outlives the tab.
  const kept = await page.evaluate(() => [Object.keys(sessionStorage), localStorage.length, document.cookie]);
  expect(kept).toEqual([["healthmate.refresh"], 0, ""]);
  const other = await request.post(`${server.url}/v1/auth/login`, { data: { user: "demo-nora", password } });
  const { access_token } = await other.json();
  const headers = { Authorization: `Bearer ${access_token}` };
  await request.post(`${server.url}/v1/auth/logout`, { data: { everywhere: true }, headers });
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible({ timeout: 1_500 });
  await expect(page.getByRole("alert")).toContainText("Signed out:");
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("the token lives in the tab only", async ({ page, context }) => {
  await signIn(page, /\(nurse\)/);
  await expect(chart(page)).toBeVisible();
  await page.reload();
  await expect(chart(page)).toBeVisible();
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
  const other = await context.newPage();
  await other.goto(server.url);
  await expect(other.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`every screen is accessible, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme });
    await page.goto(server.url);
    await expect(page.getByRole("button", { name: /\(nurse\)/ }).first()).toBeVisible();
    await expectAccessible(page);
    await signIn(page, /\(nurse\)/);
    await expect(chart(page)).toHaveAttribute("aria-label", /latest .+, taken /);
    await expectAccessible(page);
    for (const listed of await page.locator("[data-patient]").all()) {
      await listed.click();
      await expect(page.locator("[data-patient-page]")).toHaveAttribute("data-loaded", "true");
      await expectAccessible(page);
    }
  });
}

test("nothing runs over the edge of a narrow screen", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await signIn(page, /\(nurse\)/);
  await expect(chart(page)).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  await expectAccessible(page);
});

test("the page breaks no rule of its content security policy", async ({ page }) => {
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await signIn(page, /\(nurse\)/);
  await expect(chart(page)).toBeVisible();
  expect(complaints).toEqual([]);
});
