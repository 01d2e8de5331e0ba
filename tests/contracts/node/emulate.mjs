// Starts emulate's Stripe, which sends all its events to the address in argv[2], signed with the secret in SECRET. Says {port}.

import { Server } from "node:net";
import { createEmulator } from "emulate";

// It would listen on every interface of the machine.
const listen = Server.prototype.listen;
Server.prototype.listen = function (port) {
  return listen.call(this, { port, host: "127.0.0.1" }, () => process.stdout.write(`${JSON.stringify(this.address())}\n`));
};

const webhooks = [{ url: process.argv[2], events: ["*"], secret: process.env.SECRET }];
await createEmulator({ service: "stripe", port: 0, seed: { stripe: { webhooks } } });
process.stdin.resume().on("end", () => process.exit());
