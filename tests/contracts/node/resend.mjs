// Starts emulate's Resend. Says {port}.

import { Server } from "node:net";
import { createEmulator } from "emulate";

const listen = Server.prototype.listen;

// It would listen on every interface of the machine.
Server.prototype.listen = function (port) {
  return listen.call(this, { port, host: "127.0.0.1" }, () => process.stdout.write(`${JSON.stringify(this.address())}\n`));
};
await createEmulator({ service: "resend", port: 0 });
process.stdin.resume().on("end", () => process.exit());
