export { HealthMateClient, type HealthMateOptions, type SubscriptionHandle } from "./client.js";
export type { ConnectionState, ConnectionStatus, Token } from "./connection.js";
export { decode, ProtocolError } from "./decode.js";
export type { Environment, SetTimer, WebSocketClass, WebSocketLike } from "./environment.js";
export { HealthMateError } from "./errors.js";
export type { OutboxState } from "./outbox.js";
export * from "./protocol.js";
export { SignIn, type SignInOptions } from "./sign-in.js";
export type { Gap, SubscribeOptions, TopicHandler } from "./subscription.js";
