import type { HealthMateClient, NotificationData } from "@healthmate/client";
import type { Api } from "./api.js";

export interface ListedNotification extends NotificationData {
  seen_at?: string;
}

/** How many are shown. */
const SHOWN = 20;

/** What the signed-in user was told: the newest, and live. */
export class Notifications {
  list: ListedNotification[] = $state.raw([]);
  /** How many are not seen yet, also of those that are not shown. */
  unseen = $state(0);
  /** Why they cannot be shown or marked. */
  problem: string | undefined = $state();

  readonly #api: Api;

  constructor(client: Pick<HealthMateClient, "subscribe">, api: Api) {
    this.#api = api;
    client.subscribe("notifications", {
      notification: ({ data }) => {
        if (this.list.some(({ id }) => id === data.id)) return;
        this.list = [data, ...this.list].slice(0, SHOWN);
        this.unseen++;
      },
      // Subscribed first, then loaded: nothing falls between the two.
      subscribed: () => void this.#load(),
    });
  }

  async see(id: string): Promise<void> {
    await this.#try(async () => {
      await this.#api.seeNotification(id);
      await this.#read();
    });
  }

  #load(): Promise<void> {
    return this.#try(() => this.#read());
  }

  async #read(): Promise<void> {
    const page = await this.#api.notifications(SHOWN);
    this.list = page.notifications;
    this.unseen = page.unseen;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.problem = undefined;
    } catch (problem) {
      this.problem = problem instanceof Error ? problem.message : String(problem);
    }
  }
}
