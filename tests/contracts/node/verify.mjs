// A webhook endpoint as Stripe's documentation builds it: every body goes through constructEvent with the secret in SECRET.
// Says {port}, then for each request {verified, type, api_version, created, object} or {refused}; answers 200 or 400.

import { createServer } from "node:http";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_sandbox_contract");
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    const event = stripe.webhooks.constructEvent(Buffer.concat(parts), request.headers["stripe-signature"], process.env.SECRET);
    const { id, type, api_version, created, data } = event;
    say({ verified: id, type, api_version, created, object: data.object });
    response.writeHead(200).end();
  } catch (error) {
    say({ refused: error.constructor.name, message: error.message });
    response.writeHead(400).end();
  }
});

server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.resume().on("end", () => process.exit());
