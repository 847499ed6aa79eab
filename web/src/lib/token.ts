const KEY = "healthmate.token";

/** The token lives as long as the tab, and nowhere else. */
export const token = {
  load: (): string | undefined => sessionStorage.getItem(KEY) ?? undefined,
  save: (value: string): void => sessionStorage.setItem(KEY, value),
  forget: (): void => sessionStorage.removeItem(KEY),
};
