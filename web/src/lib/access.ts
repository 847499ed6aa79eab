import { passkeysOffered as offered, SignIn } from "@healthmate/client";

/** The refresh token, which the server exchanges for the next one at each use. */
const REFRESH = "healthmate.refresh";
/** A token that was pasted, or is a demo's. */
const PASTED = "healthmate.token";

/** What lets this tab in: tokens, and how to give them back. */
export interface Access {
  token: string | (() => Promise<string>);
  /** Tells the server, where it can be told. */
  signOut(): Promise<void>;
  /** Called when the server has ended it. */
  onEnded(listener: (message: string) => void): void;
}

/**
 * Access lives as long as the tab: sessionStorage is this tab's and survives a reload, and a page elsewhere cannot read it.
 * Access tokens stay in memory. Whoever can run a script here could use either; what is stolen of a refresh token is
 * noticed as soon as both have used it.
 */
export const kept = {
  load(): Access | undefined {
    const refresh = sessionStorage.getItem(REFRESH);
    if (refresh !== null) return withRefreshToken(new SignIn(here(), refresh));
    const pasted = sessionStorage.getItem(PASTED);
    return pasted === null ? undefined : withToken(pasted);
  },
  forget(): void {
    stopKeeping();
    sessionStorage.removeItem(REFRESH);
    sessionStorage.removeItem(PASTED);
  },
};

/** An exchange that is under way when the user signs out must not leave its token behind. */
let stopKeeping = () => {};

/** Lets in whoever has this token. */
export function withToken(token: string): Access {
  sessionStorage.setItem(PASTED, token);
  return { token, signOut: async () => {}, onEnded: () => {} };
}

/** Signs in with a password. */
export async function withPassword(user: string, password: string): Promise<Access> {
  return withRefreshToken(await SignIn.withPassword(here(), user, password, "Web app"));
}

/** Signs in with a passkey. */
export async function withPasskey(): Promise<Access> {
  return withRefreshToken(await SignIn.withPasskey(here(), "Web app"));
}

/** Whether this page can sign in with a passkey. */
export const passkeysOffered = () => offered(here());

function withRefreshToken(signIn: SignIn): Access {
  const keep = (token: string) => sessionStorage.setItem(REFRESH, token);
  keep(signIn.refreshToken);
  stopKeeping = signIn.onRefreshToken(keep);
  return {
    token: signIn.token,
    signOut: () => signIn.signOut(),
    onEnded: (listener) => void signIn.onEnded(({ message }) => listener(message)),
  };
}

const here = () => ({ url: location.origin });
