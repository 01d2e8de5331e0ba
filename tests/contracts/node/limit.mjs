// The web app's two limits as it sets them up, on the Redis at argv[2] with the token in SECRET: for each {op, limit, id} that it is
// told, one answer. "take" and "left" are the library's own; "forget" is its reset; "set" and "get" store `text` and read it back.
// With argv[3] "remembering" it keeps the ephemeral cache that the web app's instances have.

import { createInterface } from "node:readline";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";

const redis = new Redis({ url: process.argv[2], token: process.env.SECRET, enableTelemetry: false });
const ephemeralCache = process.argv[3] === "remembering" ? new Map() : false;
const limits = {
  general: new Ratelimit({ redis, limiter: Ratelimit.slidingWindow(10, "10 s"), prefix: "aura:ratelimit", analytics: true, ephemeralCache }),
  auth: new Ratelimit({ redis, limiter: Ratelimit.slidingWindow(5, "60 s"), prefix: "aura:auth:ratelimit", analytics: true, ephemeralCache }),
};
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function take(limit, id) {
  const { success, remaining, reset, reason, pending } = await limits[limit].limit(id);
  await pending;
  return { success, remaining, reset, reason };
}

const deeds = {
  take: ({ limit, id }) => take(limit, id),
  left: ({ limit, id }) => limits[limit].getRemaining(id),
  forget: async ({ limit, id }) => ((await limits[limit].resetUsedTokens(id)), {}),
  set: async ({ id, text }) => ({ got: await redis.set(id, text) }),
  get: async ({ id }) => ({ got: await redis.get(id) }),
  many: async ({ id }) => ({ got: await redis.multi().incr(id).incr(id).exec() }),
};

say({ node: process.version });
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    say(await deeds[asked.op](asked));
  } catch (error) {
    say({ failed: String(error) });
  }
}
