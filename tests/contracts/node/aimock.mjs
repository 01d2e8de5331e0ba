// Starts aimock with the fixtures in argv[2] (JSON). Says {port}; to each line on standard input it says the requests so far.

import { createInterface } from "node:readline";
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ host: "127.0.0.1", port: 0, logLevel: "silent", chunkSize: 7 });
mock.addFixtures(JSON.parse(process.argv[2]));
await mock.start();
process.stdout.write(`${JSON.stringify({ port: mock.port })}\n`);
for await (const _ of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(mock.getRequests().map(({ body, headers }) => ({ body, headers })))}\n`);
process.exit();
