/** A list of listeners; `add` returns what removes the listener again. */
export class Observers<Value> {
  readonly #listeners = new Set<(value: Value) => void>();

  add(listener: (value: Value) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  notify(value: Value): void {
    for (const listener of [...this.#listeners]) listener(value);
  }
}
