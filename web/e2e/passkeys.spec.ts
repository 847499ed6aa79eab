import { expect, type Page, test } from "@playwright/test";
import { expectAccessible } from "./accessible.js";
import { Server } from "./server.mjs";

const PASSWORD = "correct horse battery";

let server: Server;
/** Passkeys are of a name: `localhost`, which is secure without TLS, and not 127.0.0.1. */
let home: string;

test.beforeEach(async () => {
  server = await Server.start();
  home = server.url.replace("127.0.0.1", "localhost");
  await server.setPassword("demo-nora", PASSWORD);
});

test.afterEach(() => server.stop());

/** An authenticator that knows its user, and answers at once. */
async function addAuthenticator(page: Page): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
}

async function withPassword(page: Page): Promise<void> {
  await page.getByLabel("User").fill("demo-nora");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

const withPasskey = (page: Page) => page.getByRole("button", { name: "Sign in with a passkey" });
const account = (page: Page) => page.getByRole("button", { name: /nurse$/ });
const chart = (page: Page) => page.locator("[data-points]").first();

test("a passkey is added, signs in, is removed, and lets nobody in any more", async ({ page }) => {
  const forbidden: string[] = [];
  page.on("console", (message) => message.text().includes("Content Security Policy") && forbidden.push(message.text()));
  await addAuthenticator(page);
  await page.goto(home);
  await withPassword(page);
  await account(page).click();
  const dialog = page.getByRole("dialog", { name: "Your account" });
  await expect(dialog).toContainText("You have no passkeys");
  await expectAccessible(page);
  await dialog.getByLabel("Name of the new passkey").fill("Ward tablet");
  await dialog.getByRole("button", { name: "Add a passkey" }).click();
  await expect(dialog.locator("[data-passkey]")).toContainText("Ward tablet");
  await expectAccessible(page);
  await dialog.getByLabel("Name of the new passkey").fill("The same device");
  await dialog.getByRole("button", { name: "Add a passkey" }).click();
  await expect(dialog.getByRole("alert")).toContainText("has a passkey of yours already");
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();

  await withPasskey(page).click();
  await expect(chart(page)).toBeVisible();
  await page.reload();
  await expect(chart(page)).toBeVisible();
  await account(page).click();
  await expect(dialog.locator("[data-passkey]")).toContainText("used");
  await dialog.getByRole("button", { name: /^Remove/ }).click();
  await expect(dialog).toContainText("You have no passkeys");
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();

  await withPasskey(page).click();
  await expect(page.getByRole("alert")).toContainText("Not signed in: the passkey does not let anyone in");
  await expectAccessible(page);
  await withPassword(page);
  await expect(chart(page)).toBeVisible();
  expect(forbidden).toEqual([]);
});

test("a page of another name does not offer passkeys", async ({ page }) => {
  await page.goto(server.url);
  await expect(page.getByRole("button", { name: /\(nurse\)/ }).first()).toBeVisible();
  await expect(withPasskey(page)).toHaveCount(0);
});

test("what browsers make of JSON, and give as JSON, is what the server takes and gives", async ({ page }) => {
  await addAuthenticator(page);
  await page.goto(home);
  const user = await page.evaluate(async () => {
    const { sign_ins } = await (await fetch("/demo/sign-ins")).json();
    const { token } = sign_ins.find((entry: { user: string }) => entry.user === "demo-ana");
    const post = async (path: string, body: object, headers = {}) => {
      const init = { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
      return (await fetch(`/v1/auth/passkeys${path}`, init)).json();
    };
    const Authorization = `Bearer ${token}`;
    const creation = PublicKeyCredential.parseCreationOptionsFromJSON(await post("/options", {}, { Authorization }));
    const made = (await navigator.credentials.create({ publicKey: creation })) as PublicKeyCredential;
    await post("", { name: "By hand", credential: made.toJSON() }, { Authorization });
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post("/sign-in/options", {}));
    const signed = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential;
    return (await post("/sign-in", { credential: signed.toJSON(), label: "Ward tablet 3" })).user;
  });
  expect(user).toBe("demo-ana");
});
