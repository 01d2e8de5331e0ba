// Signs with Stripe's SDK for Node. Says its API version, then for each {payload, secret, timestamp?} it is told the header that belongs to it.

import { createInterface } from "node:readline";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_sandbox_contract");
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

say({ api_version: Stripe.API_VERSION });
for await (const line of createInterface({ input: process.stdin })) say(stripe.webhooks.generateTestHeaderString(JSON.parse(line)));
