import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The real server, with demo data in a folder of its own. */
export class Server {
  /** Where it listens, as printed by the server itself. */
  url = "";
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;
  #data = "";

  static async start() {
    const server = new Server();
    server.#data = await mkdtemp(join(tmpdir(), "healthmate-e2e-"));
    await server.run("127.0.0.1:0");
    return server;
  }

  /**
   * Runs the command line beside the server, on its data.
   * @param {string[]} args
   */
  command(...args) {
    execFileSync(binary(), [...args, "--data", this.#data], { stdio: ["ignore", "ignore", "inherit"] });
  }

  /** @param {string} listen */
  async run(listen) {
    const args = ["serve", "--demo", "--listen", listen, "--data", this.#data];
    this.#process = spawn(binary(), args, { stdio: ["ignore", "pipe", "inherit"] });
    this.url = await address(this.#process);
  }

  /**
   * Sets a user's password, as an operator does beside the running server.
   *
   * @param {string} user
   * @param {string} password
   */
  async setPassword(user, password) {
    const args = ["user", "password", user, "--data", this.#data];
    const running = spawn(binary(), args, { stdio: ["pipe", "ignore", "inherit"] });
    running.stdin.end(`${password}\n`);
    const [code] = await once(running, "exit");
    if (code !== 0) throw new Error(`the password was not set: ${code}`);
  }

  /** Ends it without a chance to tidy up, and starts it again on the same port and data. */
  async killAndRestart() {
    await this.kill();
    await this.run(new URL(this.url).host);
  }

  async kill() {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = once(running, "exit");
    running.kill("SIGKILL");
    await exit;
  }

  async stop() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }
}

function binary() {
  const path = process.env["HEALTHMATE_BIN"];
  if (!path) throw new Error("HEALTHMATE_BIN must be the path to the healthmate binary");
  return path;
}

/** @param {import("node:child_process").ChildProcess} server */
async function address(server) {
  if (server.stdout === null) throw new Error("the server's output is not a pipe");
  for await (const line of createInterface({ input: server.stdout })) {
    const found = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
    if (found === null) continue;
    // Whatever it says later must not fill the pipe.
    server.stdout.resume();
    return found[0];
  }
  throw new Error("the server ended without telling its address");
}
