// Starts emulate's Stripe, which sends all its events to the address in argv[2], signed with the secret in SECRET. Says {port}.
// Its events have a type and data and nothing else; with "whole" in argv[3] they get what is missing, and are signed by Stripe's SDK.

import { Server } from "node:net";
import { createEmulator } from "emulate";
import Stripe from "stripe";

const [, , url, whole] = process.argv;
const secret = process.env.SECRET;
const listen = Server.prototype.listen;
const send = globalThis.fetch;
let sent = 0;

// It would listen on every interface of the machine, and has no account.
Server.prototype.listen = function (port) {
  const [answer] = this.listeners("request");
  this.removeAllListeners("request").on("request", (request, response) =>
    request.url === "/v1/account"
      ? response.setHeader("Content-Type", "application/json").end('{"id": "acct_1Emulate", "object": "account"}')
      : answer(request, response),
  );
  return listen.call(this, { port, host: "127.0.0.1" }, () => process.stdout.write(`${JSON.stringify(this.address())}\n`));
};

if (whole)
  globalThis.fetch = (to, request) => {
    const created = Math.floor(Date.now() / 1000);
    const envelope = { id: `evt_emulate${++sent}`, object: "event", api_version: Stripe.API_VERSION, created, livemode: false };
    const payload = JSON.stringify({ ...envelope, ...JSON.parse(request.body) });
    const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret });
    return send(to, { ...request, body: payload, headers: { ...request.headers, "Stripe-Signature": signature } });
  };

await createEmulator({ service: "stripe", port: 0, seed: { stripe: { webhooks: [{ url, events: ["*"], secret }] } } });
process.stdin.resume().on("end", () => process.exit());
