// Starts emulate's Google with one account and the client in argv[2] (JSON, its secret in SECRET). Says {port}.
// Google's userinfo, version 2, names the account `id`; emulate has version 3's `sub` there, so what it says passes through here.

import http, { Server } from "node:http";
import { createEmulator } from "emulate";

const client = { ...JSON.parse(process.argv[2]), client_secret: process.env.SECRET, name: "aura" };
const users = [{ email: "ada@example.com", name: "Ada Example", email_verified: true }];
const listen = Server.prototype.listen;

const front = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { host, connection, "content-length": length, ...headers } = request.headers;
  const options = { method: request.method, headers, redirect: "manual", body: chunks.length ? Buffer.concat(chunks) : undefined };
  const answer = await fetch(`http://127.0.0.1:${inner}${request.url}`, options);
  const text = await answer.text();
  const said = request.url.startsWith("/oauth2/v2/userinfo") && answer.ok ? userinfo(JSON.parse(text)) : text;
  const kept = ["content-type", "location"].filter((name) => answer.headers.has(name));
  response.writeHead(answer.status, Object.fromEntries(kept.map((name) => [name, answer.headers.get(name)]))).end(said);
});
const userinfo = ({ sub, ...facts }) => JSON.stringify({ id: sub, ...facts });

// It would listen on every interface of the machine.
let inner;
const started = new Promise((ready) => {
  Server.prototype.listen = function () {
    return listen.call(this, { port: 0, host: "127.0.0.1" }, () => ready((inner = this.address().port)));
  };
});
await createEmulator({ service: "google", port: 0, seed: { google: { users, oauth_clients: [client] } } });
await started;
listen.call(front, { port: 0, host: "127.0.0.1" }, () => process.stdout.write(`${JSON.stringify({ port: front.address().port })}\n`));
process.stdin.resume().on("end", () => process.exit());
